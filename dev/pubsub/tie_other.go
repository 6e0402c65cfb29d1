//go:build !linux

package main

import "os/exec"

// tie does nothing where a process can't be tied to another: one that is killed leaves the emulator behind.
func tie(*exec.Cmd) {}
