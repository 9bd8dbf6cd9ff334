# The push gate's judge: cordon-scan. GATE_IPC is what cordon-mirror needs to ask it (with base/msg.c, base/ipc.c).
GATE_IPC := gitproxy/gate/gate_ipc.c gitproxy/scan/fingerprint.c
