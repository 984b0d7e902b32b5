enum FTPProtocolPlaceholder {}
