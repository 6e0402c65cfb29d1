package main

import (
	"os/exec"
	"syscall"
)

// tie lets the emulator end with this process, however it ends.
func tie(emulator *exec.Cmd) {
	emulator.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
