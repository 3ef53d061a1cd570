package main

import "github.com/spf13/cobra"

func (a *app) kesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kes",
		Short: "be a key server, for development and tests",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.kesServe())
	return cmd
}
