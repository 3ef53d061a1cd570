//go:build unix && !linux

package process

import "syscall"

// endWithParent has no equivalent here: a killed test process leaves its
// servers behind.
func endWithParent() *syscall.SysProcAttr { return nil }
