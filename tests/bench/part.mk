# Programs that only `make bench` runs.
bench-flow_SRC := tests/bench/flow.c
bench-stamp_SRC := tests/bench/stamp.c
bench-stamp_LIB := -static-pie
BENCHES += bench-flow bench-stamp
