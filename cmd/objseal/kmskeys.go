package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
)

// Keys that come from elsewhere, and keys that go.

var (
	errNotConfirmed = errors.New("not confirmed")
	errBadImport    = errors.New("a key to import is the base64 of 32 bytes, or name:base64")
)

func (a *app) kmsImport() *cobra.Command {
	var keyFile, algorithm string
	cmd := &cobra.Command{
		Use:   "import NAME",
		Short: "store a key that came from elsewhere on the key server",
		Long: `import reads the base64 of a 32 byte key, or a line name:base64 whose name does
not count, from standard input or --key-file, and stores it under NAME.`,
		Args: exactArgs(1),
	}
	cmd.RunE = a.kmsRun(func(cmd *cobra.Command, c *kms.Client, name string) error {
		if algorithm != "AES256" && algorithm != "ChaCha20" {
			return usagef("--algorithm is AES256 or ChaCha20, not %s", kms.QuoteKeyID(algorithm))
		}
		if isKey(keyFile) {
			return usagef("--key-file names a file, and was given a key: whoever sees this command line has it")
		}
		key, err := readImport(keyFile, cmd.InOrStdin())
		if err != nil {
			return err
		}
		defer key.Wipe()
		if err := c.ImportKey(cmd.Context(), name, key.Bytes(), algorithm); err != nil {
			return err
		}
		return a.print(cmd.OutOrStdout(), map[string]any{"imported": name}, fmt.Sprintf("imported key %q\n", name))
	})
	cmd.Flags().StringVar(&keyFile, "key-file", "-", "`file` with the key; - is standard input")
	cmd.Flags().StringVar(&algorithm, "algorithm", "AES256", "what the key is for, AES256 or ChaCha20: what it was where it comes from")
	return cmd
}

// readImport reads a key; the file's name of it, if there is one, is dropped.
func readImport(path string, stdin io.Reader) (static.Key, error) {
	const most = 1 << 10
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return static.Key{}, err
		}
		defer f.Close()
		stdin = f
	}
	text, err := io.ReadAll(io.LimitReader(stdin, most+1))
	defer clear(text)
	if err != nil {
		return static.Key{}, err
	}
	if len(text) > most {
		return static.Key{}, errBadImport
	}
	line := strings.TrimSpace(string(text))
	if !strings.Contains(line, ":") {
		line = ":" + line
	}
	key, err := static.ParseKey(line)
	if err != nil {
		return static.Key{}, errBadImport // the cause may hold a part of it
	}
	return key, nil
}

func (a *app) kmsDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "remove a key from the key server, and with it all that it sealed",
		Long: `delete removes a key for good. What it sealed can never be opened again, also not
with a key that is made under the same name later.`,
		Args: exactArgs(1),
	}
	cmd.RunE = a.kmsRun(func(cmd *cobra.Command, c *kms.Client, name string) error {
		if !yes {
			return fmt.Errorf("key %q is not deleted: %w", name, errNotConfirmed)
		}
		if err := c.DeleteKey(cmd.Context(), name); err != nil {
			return err
		}
		return a.print(cmd.OutOrStdout(), map[string]any{"deleted": name}, fmt.Sprintf("deleted key %q\n", name))
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do it: what the key sealed is lost")
	return cmd
}
