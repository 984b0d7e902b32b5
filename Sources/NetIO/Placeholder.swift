enum NetIOPlaceholder {}
