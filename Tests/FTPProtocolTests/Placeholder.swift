enum FTPProtocolTestsPlaceholder {}
