//! Where the simulator does not do as Envoy does, and why: the whole list.
//!
//! Each difference is expected exactly: another one fails, and so does none.

/// A difference that is there on purpose.
pub(crate) struct Known {
    pub(crate) case: &'static str,
    /// What Envoy does, and why the simulator does not.
    pub(crate) why: &'static str,
    /// The lines that differ in place, the simulator's and Envoy's; `-` where one has none.
    pub(crate) lines: &'static [(&'static str, &'static str)],
}

pub(crate) const KNOWN: &[Known] = &[
    Known {
        case: "buffer_of_call_data",
        why: "buffer 8 is the place where Envoy keeps what it found for the hostcall before, \
              whatever that was; nothing is ever put there for a filter to read",
        lines: &[(
            "  get_buffer_bytes 0 [0]",
            "  get_buffer_bytes 0 [8]settings",
        )],
    },
    Known {
        case: "foreign_expressions",
        why: "Envoy evaluates CEL expressions (expr_create, expr_evaluate, expr_delete); the \
              simulator has no evaluator, and says Unimplemented",
        lines: &[
            ("  call_foreign_function 12", "  call_foreign_function 0"),
            ("  call_foreign_function 12", "  call_foreign_function 2"),
            ("  call_foreign_function 12", "  call_foreign_function 0"),
        ],
    },
    Known {
        case: "grpc_stream_without_hosts",
        why: "Envoy answers the stream while the filter opens it, and calls the filter back \
              inside its own hostcall; the simulator never does, and tells the end only",
        lines: &[
            ("  grpc_stream 10 0", "grpc_receive_initial_metadata 1 6 0"),
            ("grpc_close 1 6 14", "  get_header_map_pairs 0 0"),
            (
                "  get_status 0 14 [40]no healthy upstream{no_healthy_upstream}",
                "  get_header_map_value 1 [0]",
            ),
            ("downstream_data 2 1 0", "  get_header_map_value 1 [0]"),
            ("client 0 read \"\"", "grpc_receive_trailing_metadata 1 6 4"),
            ("server 0 read \"x\"", "  get_header_map_pairs 0 4"),
            ("-", "  get_header_map_value 0 [2]14"),
            ("-", "  get_header_map_value 0 [19]no healthy upstream"),
            ("-", "  get_header_map_value 1 [0]"),
            ("-", "  grpc_stream 10 0"),
            ("-", "grpc_close 1 6 14"),
            (
                "-",
                "  get_status 0 14 [40]no healthy upstream{no_healthy_upstream}",
            ),
            ("-", "downstream_data 2 1 0"),
            ("-", "client 0 read \"\""),
            ("-", "server 0 read \"x\""),
        ],
    },
];

/// What is known of a case.
pub(crate) fn of(case: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.case == case)
}
