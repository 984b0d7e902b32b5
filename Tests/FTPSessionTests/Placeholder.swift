enum FTPSessionTestsPlaceholder {}
