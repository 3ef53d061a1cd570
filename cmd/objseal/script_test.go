package main

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// refused CODE COMMAND... demands that the command fails with that exit code,
// one sentence and one hint, and prints nothing of a trace.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: refused CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("%v, want exit code %s", err, args[0])
	}
	stderr := ts.ReadFile("stderr")
	sentence, hint, _ := strings.Cut(strings.TrimSuffix(stderr, "\n"), "\n")
	sentence, isError := strings.CutPrefix(sentence, "objseal: error: ")
	hint, isHint := strings.CutPrefix(hint, "objseal: hint: ")
	if !isError || !isHint || sentence == "" || hint == "" || strings.Contains(hint, "\n") || strings.HasSuffix(sentence, ".") || len(stderr) > 2000 {
		ts.Fatalf("not one sentence and one hint:\n%s", stderr)
	}
}

// flip FILE OFFSET inverts a byte, counted from the end if OFFSET is negative.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 0xff
	ts.Check(os.WriteFile(path, b, 0o600))
}

// waitfor FILE waits until there is such a file.
func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	for range 6000 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s never came", args[0])
}

// setenv NAME FILE sets a variable to what is in a file, less its line break.
func setenv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: setenv NAME FILE")
	}
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile(args[1]), "\n"))
}

// size FILE N cuts or extends a file to N bytes, by -N to N bytes less.
func size(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: size FILE N")
	}
	path := ts.MkAbs(args[0])
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	if n < 0 {
		info, err := os.Stat(path)
		ts.Check(err)
		n += info.Size()
	}
	ts.Check(os.Truncate(path, n))
}

// files NAME... demands that the directory holds these and nothing else: no
// partial output, no temporary file.
func files(ts *testscript.TestScript, neg bool, want []string) {
	entries, err := os.ReadDir(ts.MkAbs("."))
	ts.Check(err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if neg || !slices.Equal(got, want) {
		ts.Fatalf("the directory holds %q, want %q", got, want)
	}
}

// meta FILE ENTRY VALUE sets an entry of a metadata file to VALUE, a Go string
// literal or N*C for N times the character C; without VALUE it is deleted.
func meta(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: meta FILE ENTRY [VALUE]")
	}
	s, err := readSidecar(ts.MkAbs(args[0]), os.Open)
	ts.Check(err)
	if _, ok := s.Metadata[args[1]]; !ok {
		ts.Fatalf("there is no entry %s", args[1])
	}
	if len(args) == 2 {
		delete(s.Metadata, args[1])
	} else if n, c, ok := strings.Cut(args[2], "*"); ok {
		count, err := strconv.Atoi(n)
		ts.Check(err)
		s.Metadata[args[1]] = strings.Repeat(c, count)
	} else {
		s.Metadata[args[1]], err = strconv.Unquote(`"` + args[2] + `"`)
		ts.Check(err)
	}
	text, err := s.encode()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}
