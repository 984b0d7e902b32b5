/// Ends the fuzzer with a word on what went wrong; `precondition` is silent in optimised builds.
func promise(_ isKept: Bool, _ problem: @autoclosure () -> String = "a promise is broken") {
    if !isKept { fatalError(problem()) }
}
