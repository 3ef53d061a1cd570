package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"objseal": main})
}

// TestScripts runs testdata/*.txt: each is a session with the command, in a
// directory and with a home of its own and nothing configured.
func TestScripts(t *testing.T) {
	golden, err := filepath.Abs(filepath.Join("..", "..", "testdata", "golden"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			for _, v := range []string{"HOME", "XDG_CONFIG_HOME", "AppData"} { // what os.UserConfigDir asks
				e.Setenv(v, filepath.Join(e.WorkDir, "home"))
			}
			e.Setenv("GOLDEN", golden)
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"refused": refused,
			"flip":    flip,
			"size":    size,
			"files":   files,
			"meta":    meta,
			"cluster": cluster,
			"waitfor": waitfor,
			"setenv":  setenv,
			"kes":     keyServer,
		},
		Condition: func(name string) (bool, error) {
			if name != "fips" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			// Some builds, such as those with the tag purego, do not start then.
			cmd := exec.Command(os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), "GODEBUG=fips140=on")
			return cmd.Run() == nil, nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}
