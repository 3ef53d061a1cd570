// Command objseal seals files as S3 objects with server-side encryption, and
// opens what it or a MinIO server sealed. See the usage text below.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

const usage = `objseal seals files as S3 objects with server-side encryption (SSE-S3, SSE-KMS,
SSE-C) and opens what it or a MinIO server sealed, from its drives too.

  $ objseal encrypt --new-key report.pdf     seal under the local key ring
  $ objseal inspect report.pdf.sealed        what it is, which keys it needs
  $ objseal decrypt -o copy.pdf report.pdf.sealed
  $ objseal drive ls /mnt/disk*              what a MinIO server left on its drives

Keys come from the first of: --secret-key-file, --keystore (the key store of a
KES server, without the server), MINIO_KMS_KES_* or MINIO_KMS_SECRET_KEY (as a
MinIO server reads them), MINIO_KES_SERVER with MINIO_KES_API_KEY, and the local
key ring.`

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main without the process: exit code 0, 1 for a failure, 2 for bad usage.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup has the last word
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends a process that waits for its input
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	report(stderr, err)
	var u *usageError
	if errors.As(err, &u) {
		fmt.Fprintf(stderr, "objseal: hint: see %s --help\n", cmd.CommandPath())
		return 2
	}
	return 1
}

// app is what all subcommands share: the flags that say where keys come from.
type app struct {
	keys keyFlags
	json bool
}

func newRoot() *cobra.Command {
	a := new(app)
	root := &cobra.Command{
		Use:           "objseal",
		Short:         "seal and open objects with S3 server-side encryption",
		Long:          usage,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          exactArgs(0),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		// Before any file is looked at: some commands go on with the next one.
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.keys.check() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print the result as JSON")
	a.keys.register(root.PersistentFlags())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(a.encryptCommand(), a.decryptCommand(), a.inspectCommand(), a.verifyCommand(), a.rewrapCommand(),
		a.driveCommand(), a.kmsCommand(), a.keyCommand(), a.kesCommand(), a.speedCommand())
	return root
}

// A usageError is a command line that says nothing sensible: exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exactArgs refuses any other number of arguments, a subcommand's misspelt
// name among them.
func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == n:
			return nil
		case n == 0 && cmd.HasSubCommands():
			return usagef("unknown command %q for %s", args[0], cmd.CommandPath())
		default:
			return usagef("%s takes %d argument(s), not %d", cmd.CommandPath(), n, len(args))
		}
	}
}

func someArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("%s needs at least one file", cmd.CommandPath())
	}
	return nil
}
