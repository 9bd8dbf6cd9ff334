# Programs that only `make bench` runs.
bench-flow_SRC := tests/bench/flow.c
bench-flood_SRC := tests/bench/flood.c
bench-stamp_SRC := tests/bench/stamp.c
bench-take_SRC := tests/bench/take.c
bench-take_LIB := -lssl -lcrypto
bench-stamp_LIB := -static-pie
BENCHES += bench-flow bench-flood bench-take bench-stamp
bench-scan_SRC := tests/bench/scan.c $(SCAN_SRC) $(SCAN_DOC) base/bytes.c
bench-scan_LIB := $(SCAN_LIB)
BENCHES += bench-scan
