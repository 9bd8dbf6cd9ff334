# The secret scanner: SCAN_SRC is the engine, SCAN_DOC what reads its YAML. No sockets, no children.
SCAN_SRC := gitproxy/scan/scan.c gitproxy/scan/settle.c gitproxy/scan/confirm.c gitproxy/scan/engine.c \
	    gitproxy/scan/fingerprint.c gitproxy/scan/rules.c gitproxy/scan/builtin.c
SCAN_DOC := policy/doc.c policy/diag.c policy/file.c
SCAN_LIB := -lhs -lpcre2-8 -lyaml -lcrypto -lm
$(B)/obj/gitproxy/scan/builtin.o: gitproxy/scan/rules.yaml

# With gitproxy/scan/fingerprint.c; no Vectorscan.
SCAN_EXCEPTIONS := gitproxy/scan/exceptions.c gitproxy/scan/exceptions_edit.c

# What `cordon scan` runs.
PROGS += cordon-scan-files
cordon-scan-files_SRC := $(addprefix gitproxy/scan/files/,main.c report.c tree.c repository.c) \
			 $(SCAN_SRC) $(SCAN_EXCEPTIONS) $(SCAN_DOC) $(BASE_CORE) $(BASE_PROC)
cordon-scan-files_LIB := $(SCAN_LIB) -ljansson -lseccomp
