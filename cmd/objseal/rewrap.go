package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/sse"
)

func (a *app) rewrapCommand() *cobra.Command {
	var f openFlags
	var to sse.Request
	var newCustomerKey string
	var pairs []string
	cmd := &cobra.Command{
		Use:   "rewrap [flags] FILE.sealed...",
		Short: "change the key of sealed files without touching their data",
		Long: `rewrap opens the object key by FILE.sealed.json and seals it anew: under --kms-key
(default: the default key), or for SSE-C under --new-customer-key-file. Only
FILE.sealed.json is rewritten.`,
		Example: `  objseal rewrap --kms-key key-2027 *.sealed`,
		Args:    someArgs,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if to.Context, err = parseContext(pairs); err != nil {
				return err
			}
			if newCustomerKey != "" {
				if to.CustomerKey, err = readCustomerKey(newCustomerKey, cmd.InOrStdin()); err != nil {
					return err
				}
			}
			o, err := f.options(cmd.InOrStdin())
			if err != nil {
				return err
			}
			for _, path := range args {
				if err := a.rewrap(cmd, path, to, o); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&to.KMSKeyID, "kms-key", "", "name of the new key (default: the default key)")
	cmd.Flags().StringArrayVar(&pairs, "context", nil, "new `k=v` pair (SSE-KMS; default: the object's own)")
	cmd.Flags().StringVar(&newCustomerKey, "new-customer-key-file", "", "file with the new customer key (SSE-C)")
	return cmd
}

var errNoNewKey = errors.New("it is encrypted with a customer key, and no new one was given")

func (a *app) rewrap(cmd *cobra.Command, path string, to sse.Request, o *sse.OpenOptions) error {
	sealed, err := openSealed(path, "")
	if err != nil {
		return err
	}
	defer sealed.Close()
	client, err := a.clientFor(cmd, sealed)
	if err == nil && client == nil && to.CustomerKey.IsZero() {
		err = errNoNewKey
	}
	if err != nil {
		return fmt.Errorf("failed to rewrap %s: %w", path, err)
	}
	metadata, err := sse.Rewrap(cmd.Context(), client, sealed.name(), sealed.Metadata, to, o)
	if err != nil {
		return fmt.Errorf("%s: %w", path, diagnose(cmd.Context(), client, sealed, err))
	}
	sealed.Metadata = metadata
	text, err := sealed.encode()
	if err == nil {
		err = writeFile(sealed.metaPath, text, 0o644, true)
	}
	if err != nil {
		return err
	}
	d, err := sealed.describe()
	if err != nil {
		return err
	}
	r := describeFile(sealed, d)
	return a.print(cmd.OutOrStdout(), r, fmt.Sprintf("rewrapped %s: %s%s\n", path, d.Method, underKey(d.KMSKeyID)))
}
