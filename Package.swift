// swift-tools-version: 6.2
import PackageDescription

/// For everything we compile: Swift 6 mode comes with the tools version; a warning is an error; a type that leaks
/// through a module's interface shows itself as `public import`.
let house: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// For modules that read what strangers send: the compiler itself refuses unsafe constructs.
let pure: [SwiftSetting] = house + [.strictMemorySafety()]

let package = Package(
    name: "ftpsgate",
    products: [.executable(name: "ftpsgate", targets: ["ftpsgate"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        // C libraries, as they are.
        .systemLibrary(name: "CLibevent", pkgConfig: "libevent_extra", providers: [.apt(["libevent-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        // What Glibc's module leaves out: accept4, prctl, malloc_trim.
        .target(name: "CLinux"),

        // Values that every layer shares; imports nothing.
        .target(name: "Wire", swiftSettings: pure),
        // FTP's commands, replies and addresses as pure values.
        .target(name: "FTPProtocol", dependencies: ["Wire"], swiftSettings: pure),
        // One session as a state machine: events in, actions out; no I/O, no clock.
        .target(name: "FTPSession", dependencies: ["FTPProtocol", "Wire"], swiftSettings: pure),

        // libevent and sockets.
        .target(name: "NetIO", dependencies: ["CLibevent", "CLinux", "Wire"], swiftSettings: house),
        // Keys, requests and certificates: OpenSSL's libcrypto.
        .target(name: "PKI", dependencies: ["COpenSSL", "Wire"], swiftSettings: house),
        // TLS connections: OpenSSL's libssl.
        .target(name: "TLS", dependencies: ["PKI", "COpenSSL", "Wire"], swiftSettings: house),
        // Linux itself: processors that the cgroup gives, the service manager, limits, memory.
        .target(name: "System", dependencies: ["CLinux", "Wire"], swiftSettings: house),
        // Log lines and counters; no sockets.
        .target(
            name: "Telemetry", dependencies: ["Wire", .product(name: "Logging", package: "swift-log")],
            swiftSettings: house),
        // Joins all of it: accepts, terminates TLS, relays.
        .target(
            name: "Gateway",
            dependencies: ["FTPSession", "FTPProtocol", "NetIO", "TLS", "PKI", "Telemetry", "Wire"],
            swiftSettings: house),
        // Health and metrics over HTTP, for the operator's programs; reads the gateway through values that it is handed.
        .target(name: "Admin", dependencies: ["NetIO", "Wire"], swiftSettings: house),
        // The command line: flags to values, then run.
        .executableTarget(
            name: "ftpsgate",
            dependencies: [
                "Admin", "Gateway", "FTPSession", "FTPProtocol", "NetIO", "TLS", "PKI", "System", "Telemetry", "Wire",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: house),

        // What tests of several modules need: folders of their own, other programs.
        .target(name: "TestSupport", dependencies: ["COpenSSL"], path: "Tests/TestSupport", swiftSettings: house),
        .testTarget(name: "WireTests", dependencies: ["Wire"], swiftSettings: house),
        .testTarget(name: "FTPProtocolTests", dependencies: ["FTPProtocol", "Wire"], swiftSettings: house),
        .testTarget(
            name: "FTPSessionTests", dependencies: ["FTPSession", "FTPProtocol", "Wire"],
            exclude: ["Transcripts", "Transitions.txt"], swiftSettings: house),
        .testTarget(name: "NetIOTests", dependencies: ["NetIO", "CLinux", "Wire"], swiftSettings: house),
        .testTarget(name: "PKITests", dependencies: ["PKI", "TestSupport"], swiftSettings: house),
        .testTarget(name: "TLSTests", dependencies: ["TLS", "PKI", "COpenSSL", "TestSupport", "Wire"], swiftSettings: house),
        .testTarget(name: "TelemetryTests", dependencies: ["Telemetry", "Wire"], swiftSettings: house),
        .testTarget(name: "SystemTests", dependencies: ["System", "TestSupport", "Wire"], swiftSettings: house),
        .testTarget(name: "AdminTests", dependencies: ["Admin", "NetIO", "Wire"], swiftSettings: house),
        .testTarget(
            name: "GatewayTests",
            dependencies: [
                "Gateway", "FTPSession", "FTPProtocol", "NetIO", "TLS", "PKI", "COpenSSL", "Telemetry", "TestSupport", "Wire",
            ],
            swiftSettings: house),
        .testTarget(
            name: "CommandLineTests",
            dependencies: [
                "ftpsgate", "Gateway", "FTPSession", "FTPProtocol", "PKI", "System", "Telemetry", "TLS", "TestSupport", "Wire",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: house),
    ]
)
