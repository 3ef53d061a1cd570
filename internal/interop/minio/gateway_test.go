//go:build unix

package minio_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/interop/kesproc"
	"github.com/objseal/objseal/internal/interop/minio/clients"
	"github.com/objseal/objseal/internal/interop/minioproc"
	"github.com/objseal/objseal/internal/interop/process"
	"github.com/objseal/objseal/internal/selfsigned"
)

var (
	update  = flag.Bool("update", false, "TestGatewayClients writes what differs into docs/s3gateway-differences.md")
	rowsDir = flag.String("rows", "", "a directory into which TestGatewayClients writes every answer")
)

const differencesPage = "../../../docs/s3gateway-differences.md"

// TestGatewayClients: minio-go and aws-sdk-go-v2 run the same program against a
// MinIO server and against the gateway, with keys of a real KES server and with a
// built-in one. Every content is what was stored, on both, and the answers differ
// exactly as the page of differences says.
func TestGatewayClients(t *testing.T) {
	binary := minioproc.Build(t, ".")
	gateway := process.Build(t, "../../..", "./examples/s3gateway")
	page := string(read(t, differencesPage))
	table, err := clients.ParseTable(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range table {
		if d.Reason == "" && !*update {
			t.Errorf("a difference without a reason: %s", strings.Join(d.Steps, ", "))
		}
	}

	keys := kesproc.NewDeployment(t, process.Build(t, "../kes", "github.com/minio/kes/cmd/kes"), nil)
	keyServer := keys.Start(t)
	createKeys(t, keys, keyServer, "clients-default", "clients-other")
	builtin := make([]byte, 32)
	rand.Read(builtin)

	for _, c := range []struct {
		name string
		env  []string
		opts clients.Options
	}{
		{"KES", []string{
			"MINIO_KMS_KES_ENDPOINT=" + keyServer.Endpoint(),
			"MINIO_KMS_KES_API_KEY=" + keys.APIKey.Text,
			"MINIO_KMS_KES_KEY_NAME=clients-default",
			"MINIO_KMS_KES_CAPATH=" + keys.CAFile,
		}, clients.Options{DefaultKey: "clients-default", OtherKey: "clients-other"}},
		{"built-in", []string{
			"MINIO_KMS_SECRET_KEY=clients-default:" + base64.StdEncoding.EncodeToString(builtin),
		}, clients.Options{DefaultKey: "clients-default", OtherKey: "clients-default", Short: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := minioproc.Start(t, binary, &minioproc.Options{Env: c.env, TLS: true})
			transport, err := server.Transport()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(transport.CloseIdleConnections)
			minIO := runClients(t, "MinIO", &clients.Server{URL: server.URL(), Transport: transport, User: minioproc.User, Password: minioproc.Password, Region: minioproc.Region}, &c.opts)
			server.Stop(t)
			other := runClients(t, "gateway", startGateway(t, gateway, c.env), &c.opts)
			if *update && !c.opts.Short {
				differences := clients.Compare(minIO, other)
				clients.KeepReasons(differences, table, other)
				table = differences
				if err := os.WriteFile(differencesPage, []byte(clients.FormatTable(page, table)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			wrong := clients.Check(minIO, other, table)
			for i, w := range wrong {
				if i == 50 {
					t.Errorf("and %d more", len(wrong)-i)
					break
				}
				t.Error(w)
			}
		})
	}
}

// minIOFault is a step after a fault of MinIO: it copies an SSE-KMS object although
// the request names a customer key of it, and what it stores then cannot be read; to
// a GET it answers 206, with an error for content.
const minIOFault = "get: copy KMS with a key"

// createKeys makes keys at a KES server.
func createKeys(t *testing.T, d *kesproc.Deployment, s *kesproc.Server, names ...string) {
	t.Helper()
	config, err := d.TLS()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	defer client.CloseIdleConnections()
	for _, name := range names {
		resp, err := client.Post(s.Endpoint()+"/v1/key/create/"+name, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("key %s: %s", name, resp.Status)
		}
	}
}

// runClients runs the program; no content may be another than was stored.
func runClients(t *testing.T, name string, server *clients.Server, o *clients.Options) []clients.Row {
	t.Helper()
	start := time.Now()
	rows, err := clients.Run(t.Context(), server, o)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	compared := 0
	for _, r := range rows {
		if r.Fields["body"] == "ok" {
			compared++
		}
		if name == "MinIO" && r.Step() == minIOFault {
			continue
		}
		if r.Mismatch() {
			t.Errorf("%s: %s %s: %s", name, r.Client, r.Step(), r.Fields["body"])
		}
	}
	if *rowsDir != "" {
		var text strings.Builder
		for _, r := range rows {
			fmt.Fprintf(&text, "%s %s: %v\n", r.Client, r.Step(), r.Fields)
		}
		file := strings.ReplaceAll(t.Name()+" "+name+".txt", "/", " ")
		if err := os.WriteFile(filepath.Join(*rowsDir, file), []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if compared < len(rows)/5 {
		t.Errorf("%s: only %d contents came back: something has failed that the program builds on", name, compared)
	}
	t.Logf("%s: %d calls, %d contents compared, in %v", name, len(rows), compared, time.Since(start).Round(time.Second))
	return rows
}

// startGateway runs the gateway over a new directory, with TLS.
func startGateway(t *testing.T, binary string, env []string) *clients.Server {
	t.Helper()
	dir := t.TempDir()
	cert, key, err := selfsigned.New(selfsigned.Loopback, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, data := filepath.Join(dir, "public.crt"), filepath.Join(dir, "private.key"), filepath.Join(dir, "data")
	if err := errors.Join(os.WriteFile(certFile, cert, 0o600), os.WriteFile(keyFile, key, 0o600), os.Mkdir(data, 0o700)); err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(process.Command{
		Path: binary,
		Args: []string{"--dir", data, "--listen", "127.0.0.1:0", "--cert", certFile, "--key", keyFile},
		Dir:  dir,
		Env:  append([]string{"HOME=" + dir}, env...),
		Log:  filepath.Join(dir, "gateway.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of the gateway:\n%.10000s", p.Log())
		}
	})
	var url string
	err = p.Wait(func() error {
		for line := range strings.Lines(p.Log()) {
			if after, ok := strings.CutPrefix(line, "listening on "); ok && strings.HasSuffix(line, "\n") {
				url = strings.TrimSpace(after)
				return nil
			}
		}
		return errors.New("it does not listen yet")
	})
	if err != nil {
		t.Fatalf("failed to start the gateway: %v\n%s", err, p.Log())
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &clients.Server{URL: url, Transport: transport,
		User: minioproc.User, Password: minioproc.Password, Region: minioproc.Region}
}
