enum PKITestsPlaceholder {}
