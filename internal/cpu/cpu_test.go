package cpu_test

import (
	"testing"

	"github.com/objseal/objseal/internal/cpu"
)

func TestDisable(t *testing.T) {
	before := cpu.Has(cpu.AES)
	restore := cpu.Disable(cpu.AES)
	if cpu.Has(cpu.AES) {
		t.Error("a disabled feature is still reported")
	}
	restore()
	if cpu.Has(cpu.AES) != before {
		t.Errorf("after restore: %v, before: %v", cpu.Has(cpu.AES), before)
	}
}
