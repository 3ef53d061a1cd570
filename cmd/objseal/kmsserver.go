package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
)

func (a *app) kmsStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "ask every key server how it is",
		Args:  exactArgs(0),
		RunE: a.kmsRun(func(cmd *cobra.Command, c *kms.Client, _ string) error {
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(cmd.OutOrStdout(), statusResult(s), statusTable(a.keys.source, s))
		}),
	}
}

type endpointResult struct {
	Address           string  `json:"address"`
	Version           string  `json:"version,omitempty"`
	LatencyMS         float64 `json:"latency_ms,omitempty"`
	KeyStoreReachable bool    `json:"key_store_reachable"`
	Error             string  `json:"error,omitempty"`
}

func endpointResults(s kms.Status) []endpointResult {
	endpoints := make([]endpointResult, 0, len(s.Endpoints))
	for _, e := range s.Endpoints {
		r := endpointResult{Address: e.Address, Version: e.Version, LatencyMS: milliseconds(e.Latency), KeyStoreReachable: e.Err == nil && !e.KeyStoreUnreachable}
		if e.Err != nil {
			r.Error = e.Err.Error()
		}
		endpoints = append(endpoints, r)
	}
	return endpoints
}

func statusResult(s kms.Status) any {
	r := map[string]any{"backend": s.Backend, "version": s.Version, "uptime_s": s.Uptime.Seconds(),
		"key_store_reachable": !s.KeyStoreUnreachable, "endpoints": endpointResults(s)}
	if s.Identity != "" {
		r["identity"] = s.Identity
	}
	if !s.NotAfter.IsZero() {
		r["certificate_expires"] = s.NotAfter
	}
	if s.Warning != nil {
		r["warning"] = s.Warning.Error()
	}
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func statusTable(source string, s kms.Status) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "keys from\t%s\n", source)
	fmt.Fprintf(w, "backend\t%s\n", strings.TrimSpace(s.Backend+" "+s.Version))
	if s.Uptime > 0 {
		fmt.Fprintf(w, "uptime\t%s\n", s.Uptime.Round(time.Second))
	}
	if s.KeyStoreUnreachable {
		fmt.Fprintf(w, "key store\tunreachable\n")
	} else if s.KeyStoreLatency > 0 {
		fmt.Fprintf(w, "key store\tanswers in %s\n", s.KeyStoreLatency)
	}
	if s.Identity != "" {
		fmt.Fprintf(w, "identity\t%s\n", s.Identity)
	}
	if !s.NotAfter.IsZero() {
		fmt.Fprintf(w, "certificate\tgood until %s\n", s.NotAfter.UTC().Format(time.DateOnly))
	}
	if s.Warning != nil {
		fmt.Fprintf(w, "warning\t%v\n", s.Warning)
	}
	for _, e := range s.Endpoints {
		if e.Err != nil {
			fmt.Fprintf(w, "%s\t%v\n", e.Address, e.Err)
		} else if e.KeyStoreUnreachable {
			fmt.Fprintf(w, "%s\tanswers in %s, its key store does not\n", e.Address, e.Latency.Round(time.Microsecond))
		} else {
			fmt.Fprintf(w, "%s\tanswers in %s\n", e.Address, e.Latency.Round(time.Microsecond))
		}
	}
	w.Flush()
	return b.String()
}

// kesRun is kmsRun for what only KES servers have.
func (a *app) kesRun(do func(cmd *cobra.Command, b *kes.Backend, arg string) error) func(*cobra.Command, []string) error {
	return a.kmsRun(func(cmd *cobra.Command, c *kms.Client, arg string) error {
		b, ok := c.Backend().(*kes.Backend)
		if !ok {
			return fmt.Errorf("%w: there is no key server, keys come from %s", errNoServer, a.keys.source)
		}
		return do(cmd, b, arg)
	})
}

var errNoServer = errors.New("that is asked of a KES server")

func (a *app) kmsVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "tell the version of every key server",
		Args:  exactArgs(0),
		RunE: a.kesRun(func(cmd *cobra.Command, b *kes.Backend, _ string) error {
			status, err := b.Status(cmd.Context())
			if err != nil {
				return err
			}
			var text strings.Builder
			for _, e := range status.Endpoints {
				if e.Err != nil {
					fmt.Fprintf(&text, "%s  %v\n", e.Address, e.Err)
				} else {
					fmt.Fprintf(&text, "%s  %s\n", e.Address, e.Version)
				}
			}
			return a.print(cmd.OutOrStdout(), map[string]any{"endpoints": endpointResults(status)}, text.String())
		}),
	}
}

func (a *app) kmsMetrics() *cobra.Command {
	return &cobra.Command{
		Use:   "metrics",
		Short: "print the metrics of every key server, as Prometheus reads them",
		Args:  exactArgs(0),
		RunE: a.kesRun(func(cmd *cobra.Command, b *kes.Backend, _ string) error {
			all, err := b.Metrics(cmd.Context())
			if err != nil {
				return err
			}
			var text strings.Builder
			results := make([]map[string]any, 0, len(all))
			for _, m := range all {
				fmt.Fprintf(&text, "# %s\n", m.Endpoint)
				r := map[string]any{"address": m.Endpoint}
				if m.Err != nil {
					fmt.Fprintf(&text, "# %v\n", m.Err)
					r["error"] = m.Err.Error()
				} else {
					text.WriteString(m.Text)
					r["metrics"] = m.Text
				}
				results = append(results, r)
			}
			return a.print(cmd.OutOrStdout(), map[string]any{"endpoints": results}, text.String())
		}),
	}
}

func (a *app) kmsLog() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log audit|error",
		Short: "follow the logs of all key servers",
		Long: `log prints what happens from now on, until it is interrupted: audit, which keys
are made, imported and deleted, by whom; error, what the servers complain about.
Servers v0.24 answer, and never send an event.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] != "audit" && args[0] != "error" {
				return usagef("%s takes one of audit, error", cmd.CommandPath())
			}
			return nil
		},
	}
	cmd.RunE = a.kesRun(func(cmd *cobra.Command, b *kes.Backend, which string) error {
		var failed failures
		followed := len(b.Endpoints())
		// note tells of a server that cannot be followed while others are.
		note := func(err error) {
			failed = append(failed, err)
			if len(failed) < followed {
				fmt.Fprintf(cmd.ErrOrStderr(), "objseal: warning: %v\n", err)
			}
		}
		var err error
		if which == "audit" {
			for e, failure := range b.AuditLog(cmd.Context()) {
				if failure != nil {
					note(failure)
					continue
				}
				err = a.print(cmd.OutOrStdout(), map[string]any{"address": e.Endpoint, "time": e.Time, "ip": e.IP, "path": e.Path, "identity": e.Identity,
					"status": e.Status, "duration_ms": milliseconds(e.Duration)},
					fmt.Sprintf("%s %s %d %s %s %s\n", e.Time.Format(time.RFC3339), e.Endpoint, e.Status, e.Path, e.Identity, e.IP))
				if err != nil {
					break
				}
			}
		} else {
			for e, failure := range b.ErrorLog(cmd.Context()) {
				if failure != nil {
					note(failure)
					continue
				}
				err = a.print(cmd.OutOrStdout(), map[string]any{"address": e.Endpoint, "message": e.Message}, fmt.Sprintf("%s %s\n", e.Endpoint, e.Message))
				if err != nil {
					break
				}
			}
		}
		switch {
		case err != nil:
			return err
		case len(failed) == followed:
			return failed[len(failed)-1]
		}
		return nil // interrupted, as it is meant to end
	})
	return cmd
}

// warnOfExpiry tells of a client certificate on standard error, once a command.
func warnOfExpiry(cmd *cobra.Command) func(*kes.ExpiryError) {
	return func(e *kes.ExpiryError) { fmt.Fprintf(cmd.ErrOrStderr(), "objseal: warning: %v\n", e) }
}
