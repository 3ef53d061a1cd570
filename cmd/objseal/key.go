package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/static"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "make keys",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keyNew(), a.keyAPI())
	return cmd
}

func (a *app) keyNew() *cobra.Command {
	var out string
	var ring bool
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "make a secret key line, as MINIO_KMS_SECRET_KEY and --secret-key-file take it",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := static.NewKey(args[0])
			if err != nil {
				return err
			}
			defer key.Wipe()
			if !ring {
				return a.giveSecret(cmd, out, key.Text(), map[string]any{"name": key.Name, "secret_key": key.Text()})
			}
			if out != "" {
				return usagef("--output and --add-to-ring exclude each other")
			}
			path, err := a.keys.ringPath()
			if err != nil {
				return err
			}
			if err := static.AddKey(path, key); err != nil {
				return err
			}
			return a.print(cmd.OutOrStdout(), map[string]any{"name": key.Name, "key_ring": path}, fmt.Sprintf("added key %q to %s\n", key.Name, path))
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write it to a new file of mode 0600 instead of standard output")
	cmd.Flags().BoolVar(&ring, "add-to-ring", false, "add it to the local key ring instead")
	return cmd
}

func (a *app) keyAPI() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "api",
		Short: "make an API key for KES, and tell its identity",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			key := kes.NewAPIKey()
			err := a.giveSecret(cmd, out, key.Text(), map[string]any{"api_key": key.Text(), "identity": key.Identity()})
			if err == nil && !a.json {
				_, err = fmt.Fprintf(cmd.ErrOrStderr(), "identity: %s\n", key.Identity())
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write it to a new file of mode 0600 instead of standard output")
	return cmd
}

var errKeyExists = errors.New("and keys are never overwritten")

// giveSecret prints a secret that was just made, or writes it to a new file; a
// file is never overwritten: the key in it may be the only copy.
func (a *app) giveSecret(cmd *cobra.Command, out, secret string, fields map[string]any) error {
	if out == "" {
		return a.print(cmd.OutOrStdout(), fields, secret+"\n")
	}
	if err := writeFile(out, []byte(secret+"\n"), 0o600, false); err != nil {
		if errors.Is(err, errExists) {
			return fmt.Errorf("%w, %w", err, errKeyExists)
		}
		return err
	}
	return nil
}
