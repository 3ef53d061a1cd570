package process

import "syscall"

// endWithParent ends the server with the thread that started it. Clean-ups of
// a test cover everything but the death of the test process itself: a timeout,
// a panic outside the test's goroutine, a kill.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
