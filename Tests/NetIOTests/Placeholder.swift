enum NetIOTestsPlaceholder {}
