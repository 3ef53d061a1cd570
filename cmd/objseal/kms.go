package main

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/kms"
)

func (a *app) kmsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kms",
		Short: "talk to the key server, or look at the key ring",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.kmsDoctor(), a.kmsPolicy(), a.kmsStatus(), a.kmsVersion(), a.kmsMetrics(), a.kmsLog(),
		a.kmsKeys(), a.kmsCreate(), a.kmsImport(), a.kmsDescribe(), a.kmsDelete(), a.kmsGenerate(), a.kmsDecrypt())
	return cmd
}

// kmsRun opens the keys and passes the one argument on, if there is one.
func (a *app) kmsRun(do func(cmd *cobra.Command, c *kms.Client, arg string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		client, err := a.keys.open(cmd, ringFlags{})
		if err != nil {
			return err
		}
		return do(cmd, client, strings.Join(args, ""))
	}
}

func (a *app) kmsKeys() *cobra.Command {
	return &cobra.Command{
		Use:   "keys [PREFIX]",
		Short: "list the names of the keys",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s takes one prefix at most", cmd.CommandPath())
			}
			return nil
		},
		RunE: a.kmsRun(func(cmd *cobra.Command, c *kms.Client, prefix string) error {
			names, err := c.ListKeys(cmd.Context(), prefix)
			if err != nil {
				return err
			}
			var text strings.Builder
			for _, n := range names {
				fmt.Fprintln(&text, n)
			}
			return a.print(cmd.OutOrStdout(), map[string]any{"keys": names}, text.String())
		}),
	}
}

func (a *app) kmsCreate() *cobra.Command {
	return &cobra.Command{
		Use:   "create NAME",
		Short: "make a new key on the key server",
		Args:  exactArgs(1),
		RunE: a.kmsRun(func(cmd *cobra.Command, c *kms.Client, name string) error {
			if err := c.CreateKey(cmd.Context(), name); err != nil {
				return err
			}
			return a.print(cmd.OutOrStdout(), map[string]any{"created": name}, fmt.Sprintf("created key %q\n", name))
		}),
	}
}

func (a *app) kmsDescribe() *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME",
		Short: "tell what is known of a key",
		Args:  exactArgs(1),
		RunE: a.kmsRun(func(cmd *cobra.Command, c *kms.Client, name string) error {
			info, err := c.DescribeKey(cmd.Context(), name)
			if err != nil {
				return err
			}
			var b strings.Builder
			w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "name\t%s\nalgorithm\t%s\n", info.Name, info.Algorithm)
			r := map[string]any{"name": info.Name, "algorithm": info.Algorithm}
			if !info.CreatedAt.IsZero() {
				r["created_at"] = info.CreatedAt
				fmt.Fprintf(w, "created\t%s\n", info.CreatedAt.Format(time.RFC3339))
			}
			if info.CreatedBy != "" {
				r["created_by"] = info.CreatedBy
				fmt.Fprintf(w, "by\t%q\n", info.CreatedBy)
			}
			w.Flush()
			return a.print(cmd.OutOrStdout(), r, b.String())
		}),
	}
}

func (a *app) kmsGenerate() *cobra.Command {
	var pairs []string
	var reveal bool
	cmd := &cobra.Command{
		Use:   "generate NAME",
		Short: "make a data key under a key",
		Long:  "generate prints the sealed data key; the data key itself only with --reveal.",
		Args:  exactArgs(1),
	}
	cmd.RunE = a.kmsRun(func(cmd *cobra.Command, c *kms.Client, name string) error {
		ad, err := parseContext(pairs)
		if err != nil {
			return err
		}
		key, err := c.GenerateKey(cmd.Context(), name, ad)
		if err != nil {
			return err
		}
		defer key.Key.Wipe()
		r := map[string]any{"key_id": key.KeyID, "ciphertext": key.Ciphertext}
		text := "ciphertext  " + base64.StdEncoding.EncodeToString(key.Ciphertext) + "\n"
		if reveal {
			r["plaintext"] = key.Key.Bytes()
			text += "plaintext   " + base64.StdEncoding.EncodeToString(key.Key.Bytes()) + "\n"
		}
		return a.print(cmd.OutOrStdout(), r, text)
	})
	cmd.Flags().StringArrayVar(&pairs, "context", nil, "`k=v` pair to bind it to; may be repeated")
	cmd.Flags().BoolVar(&reveal, "reveal", false, "print the data key too")
	return cmd
}

func (a *app) kmsDecrypt() *cobra.Command {
	var pairs []string
	var ciphertext string
	var reveal bool
	cmd := &cobra.Command{
		Use:   "decrypt NAME",
		Short: "open a sealed data key",
		Long: `decrypt opens the base64 of a sealed data key, from --ciphertext or standard
input, and says whether that worked; it prints the data key only with --reveal.`,
		Args: exactArgs(1),
	}
	cmd.RunE = a.kmsRun(func(cmd *cobra.Command, c *kms.Client, name string) error {
		ad, err := parseContext(pairs)
		if err != nil {
			return err
		}
		if ciphertext == "" {
			text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 2*kms.MaxCiphertext))
			if err != nil {
				return err
			}
			ciphertext = string(text)
		}
		sealed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(ciphertext))
		if err != nil {
			return usagef("the ciphertext is not base64")
		}
		key, err := c.Decrypt(cmd.Context(), name, sealed, ad)
		if errors.Is(err, kms.ErrNotAuthentic) {
			found := c.Diagnose(cmd.Context(), kms.Case{KeyID: name, Ciphertext: sealed, AssociatedData: ad, Others: []kms.AssociatedData{nil}})
			err = cmp.Or(found, err)
		}
		if err != nil {
			return err
		}
		defer key.Wipe()
		r := map[string]any{"key_id": name, "authentic": true}
		text := "authentic: a data key of 32 bytes\n"
		if reveal {
			r["plaintext"] = key.Bytes()
			text = base64.StdEncoding.EncodeToString(key.Bytes()) + "\n"
		}
		return a.print(cmd.OutOrStdout(), r, text)
	})
	cmd.Flags().StringArrayVar(&pairs, "context", nil, "`k=v` pair it was bound to; may be repeated")
	cmd.Flags().StringVar(&ciphertext, "ciphertext", "", "base64 of the sealed data key (default: standard input)")
	cmd.Flags().BoolVar(&reveal, "reveal", false, "print the data key")
	return cmd
}
