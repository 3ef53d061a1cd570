package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kmsenv"
)

func (a *app) kmsPolicy() *cobra.Command {
	var key, name, identity string
	var sealOnly, openOnly bool
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "print the least policy that a KES server needs to let objseal work",
		Long: `policy prints what to add to the configuration of a KES server, so that the
identity that is configured here may seal and open under a key, and do nothing
else. Rewrapping needs both. No server is asked.`,
		Args: exactArgs(0),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if sealOnly && openOnly {
			return usagef("--seal-only and --open-only exclude each other")
		}
		who, key, err := a.policyOf(cmd, identity, key)
		if err != nil {
			return err
		}
		if err := checkIdentity(who); err != nil {
			return usagef("--identity: %w", err)
		}
		if !kms.ValidName(name) {
			return usagef("a policy cannot have the name %s", kms.QuoteKeyID(name))
		}
		// What precedes a * begins a name, and may be nothing.
		if prefix, isPattern := strings.CutSuffix(key, "*"); !kms.ValidName(key) && !(isPattern && kms.ValidName(prefix+"x")) {
			return usagef("no key has the name %s; --key takes a name, or the beginning of names and *", kms.QuoteKeyID(key))
		}
		var allow []string
		if !openOnly {
			allow = append(allow, "/v1/key/generate/"+key)
		}
		if !sealOnly {
			allow = append(allow, "/v1/key/decrypt/"+key)
		}
		text := fmt.Sprintf("policy:\n  %s:\n    allow:\n    - %s\n    identities:\n    - %s\n", name, strings.Join(allow, "\n    - "), who)
		return a.print(cmd.OutOrStdout(), map[string]any{"policy": map[string]any{name: map[string]any{"allow": allow, "identities": []string{who}}}}, text)
	}
	cmd.Flags().StringVar(&key, "key", "", "key, or the beginning of keys' names and *, such as app-* (default: the default key)")
	cmd.Flags().StringVar(&name, "name", "objseal", "name of the policy")
	cmd.Flags().StringVar(&identity, "identity", "", "identity to allow it to (default: the one that is configured)")
	cmd.Flags().BoolVar(&sealOnly, "seal-only", false, "allow sealing only")
	cmd.Flags().BoolVar(&openOnly, "open-only", false, "allow opening only")
	return cmd
}

// policyOf fills in from the configuration what no flag says.
func (a *app) policyOf(cmd *cobra.Command, identity, key string) (string, string, error) {
	if identity == "" {
		client, err := a.keys.open(cmd, ringFlags{})
		if err != nil {
			return "", "", err
		}
		b, ok := client.Backend().(*kes.Backend)
		if !ok {
			return "", "", fmt.Errorf("%w, and keys come from %s: give --identity and --key", errNoServer, a.keys.source)
		}
		identity = b.Identity()
	}
	if key == "" {
		config, err := kmsenv.Find(nil, &kmsenv.Options{KESCommand: true})
		if key = config.DefaultKeyID; key == "" || err != nil {
			return "", "", usagef("there is no default key: name one with --key, or several as app-*")
		}
	}
	return identity, key, nil
}
