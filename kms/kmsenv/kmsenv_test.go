package kmsenv_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kmsenv"
	"github.com/objseal/objseal/kms/static"
)

const (
	// Throw-away values; parts of them are looked for in what must not show them.
	secretKey = "eEm+JI9/q4JhH8QwKvf3LKo4DEBl6QbfvAl1CAbMIv8="
	apiKey    = "kes:v1:AAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	password  = "correct-horse"

	end  = "MINIO_KMS_KES_ENDPOINT"
	name = "MINIO_KMS_KES_KEY_NAME"
	api  = "MINIO_KMS_KES_API_KEY"
	cert = "MINIO_KMS_KES_CERT_FILE"
	key  = "MINIO_KMS_KES_KEY_FILE"
	pass = "MINIO_KMS_KES_KEY_PASSWORD"
	ca   = "MINIO_KMS_KES_CAPATH"
	sec  = "MINIO_KMS_SECRET_KEY"
	file = "MINIO_KMS_SECRET_KEY_FILE"
	auto = "MINIO_KMS_AUTO_ENCRYPTION"
)

// env is an environment as a test writes it.
type env map[string]string

func (e env) lookup(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}

// with returns e with more variables.
func (e env) with(more env) env {
	all := maps.Clone(e)
	maps.Copy(all, more)
	return all
}

func noSecretIn(t *testing.T, text string) {
	t.Helper()
	for _, part := range []string{secretKey[8:20], apiKey[12:24], password} {
		if strings.Contains(text, part) {
			t.Fatal("the text shows a part of a secret")
		}
	}
}

// files are those that a certificate and a built-in key can come from.
type files struct {
	cert, key, encryptedKey, twoKeys, pkcs8, ca, secretKey, badSecretKey, text, missing string
}

func makeFiles(t *testing.T) files {
	dir := t.TempDir()
	write := func(name string, blocks ...*pem.Block) string {
		path := filepath.Join(dir, name)
		var text []byte
		for _, b := range blocks {
			text = append(text, pem.EncodeToMemory(b)...)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certBlock, keyBlock := &pem.Block{Type: "CERTIFICATE", Bytes: der}, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}
	//lint:ignore SA1019 MinIO takes keys in this encryption, and no other
	encrypted, err := x509.EncryptPEMBlock(rand.Reader, "PRIVATE KEY", pkcs8, []byte(password), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	f := files{
		cert:         write("client.crt", certBlock),
		key:          write("client.key", keyBlock),
		encryptedKey: write("encrypted.key", encrypted),
		twoKeys:      write("two.key", keyBlock, keyBlock),
		pkcs8:        write("pkcs8.key", &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: pkcs8}),
		ca:           write("ca.crt", certBlock),
		secretKey:    filepath.Join(dir, "secret"),
		badSecretKey: filepath.Join(dir, "bad-secret"),
		text:         filepath.Join(dir, "text"),
		missing:      filepath.Join(dir, "missing"),
	}
	for path, text := range map[string]string{
		f.secretKey:    "from-file:" + secretKey + "\n",
		f.badSecretKey: secretKey,
		f.text:         "no PEM\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

var (
	withKES    = env{end: "https://kes:7373", name: "app", api: apiKey}
	withStatic = env{sec: "my-key:" + secretKey}
)

// TestLoadRefuses has every error of KES spec section 8, with its exact text.
func TestLoadRefuses(t *testing.T) {
	f := makeFiles(t)
	certificate := env{end: "https://kes:7373", name: "app", cert: f.cert, key: f.key}
	const (
		kesAndMinKMS    = "kms: configuration for MinIO KMS and MinIO KES is present"
		minKMSAndStatic = "kms: configuration for MinIO KMS and static KMS key is present"
		kesAndStatic    = "kms: configuration for MinIO KES and static KMS key is present"
		twoMethods      = "kms: invalid configuration for MinIO KES: 'MINIO_KMS_KES_API_KEY' and client certificate is present"
		twoStatic       = "kms: invalid configuration for static KMS key: 'MINIO_KMS_SECRET_KEY' and 'MINIO_KMS_SECRET_KEY_FILE' are present"
		incomplete      = "kms: incomplete configuration for MinIO KES: "
		loadCert        = "Unable to load KES client certificate as specified by the shell environment: "
		loadKey         = "Unable to load KES client private key as specified by the shell environment: "
	)
	for _, tt := range []struct {
		name      string
		env       env
		text      string
		kind      error
		variables string // names, or the last parts of names
		cause     error  // beside the kind
	}{
		// Conflicts, in MinIO's order.
		{name: "all three", env: withKES.with(withStatic).with(env{"MINIO_KMS_SERVER": ""}), text: kesAndMinKMS, kind: kmsenv.ErrConflict, variables: "SERVER ENDPOINT KEY_NAME KES_API_KEY"},
		{name: "KES and MinKMS", env: env{name: "", "MINIO_KMS_ENCLAVE": ""}, text: kesAndMinKMS, kind: kmsenv.ErrConflict, variables: "ENCLAVE KEY_NAME"},
		{name: "MinKMS and static", env: withStatic.with(env{"MINIO_KMS_SSE_KEY": "k"}), text: minKMSAndStatic, kind: kmsenv.ErrConflict, variables: "SSE_KEY MINIO_KMS_SECRET_KEY"},
		{name: "MinKMS and static file", env: env{file: f.secretKey, "MINIO_KMS_API_KEY": ""}, text: minKMSAndStatic, kind: kmsenv.ErrConflict, variables: "MINIO_KMS_API_KEY SECRET_KEY_FILE"},
		{name: "KES and static", env: withKES.with(withStatic), text: kesAndStatic, kind: kmsenv.ErrConflict, variables: "ENDPOINT KEY_NAME KES_API_KEY SECRET_KEY"},
		{name: "empty KES and static", env: withStatic.with(env{pass: ""}), text: kesAndStatic, kind: kmsenv.ErrConflict, variables: "KEY_PASSWORD SECRET_KEY"},
		{name: "KES and static file", env: withKES.with(env{file: f.secretKey}), text: kesAndStatic, kind: kmsenv.ErrConflict, variables: "ENDPOINT KEY_NAME KES_API_KEY SECRET_KEY_FILE"},
		{name: "MinKMS alone", env: env{"MINIO_KMS_SERVER": "https://kms"}, text: "kms: MinIO KMS is not supported, only MinIO KES and static KMS keys are", kind: kms.ErrUnsupported, variables: "MINIO_KMS_SERVER"},

		// What KES needs.
		{name: "no endpoint", env: env{name: "app", api: apiKey}, text: incomplete + "missing 'MINIO_KMS_KES_ENDPOINT'", kind: kmsenv.ErrIncomplete, variables: end},
		{name: "no endpoint, two methods", env: env{api: apiKey, cert: ""}, text: incomplete + "missing 'MINIO_KMS_KES_ENDPOINT'", kind: kmsenv.ErrIncomplete, variables: end},
		{name: "no key name", env: env{end: "https://kes:7373", api: apiKey}, text: incomplete + "missing 'MINIO_KMS_KES_KEY_NAME'", kind: kmsenv.ErrIncomplete, variables: name},
		{name: "API key and certificate", env: withKES.with(env{cert: "c"}), text: twoMethods, kind: kmsenv.ErrConflict, variables: "KES_API_KEY CERT_FILE"},
		{name: "API key and empty key file", env: withKES.with(env{key: ""}), text: twoMethods, kind: kmsenv.ErrConflict, variables: "KES_API_KEY KEY_FILE"},
		{name: "API key and empty password", env: withKES.with(env{pass: ""}), text: twoMethods, kind: kmsenv.ErrConflict, variables: "KES_API_KEY KEY_PASSWORD"},
		{name: "empty API key and certificate", env: certificate.with(env{api: ""}), text: twoMethods, kind: kmsenv.ErrConflict, variables: "KES_API_KEY CERT_FILE KEY_FILE"},
		{name: "no certificate", env: env{end: "https://kes:7373", name: "app", key: "k"}, text: incomplete + "missing 'MINIO_KMS_KES_CERT_FILE'", kind: kmsenv.ErrIncomplete, variables: cert},
		{name: "only a password", env: env{end: "https://kes:7373", name: "app", pass: "p"}, text: incomplete + "missing 'MINIO_KMS_KES_CERT_FILE'", kind: kmsenv.ErrIncomplete, variables: cert},
		{name: "no key file", env: env{end: "https://kes:7373", name: "app", cert: "c"}, text: incomplete + "missing 'MINIO_KMS_KES_KEY_FILE'", kind: kmsenv.ErrIncomplete, variables: key},
		{name: "no credentials", env: env{end: "https://kes:7373", name: "app"}, text: incomplete + "missing authentication method", kind: kmsenv.ErrIncomplete, variables: api + " " + cert + " " + key},
		{name: "both static", env: withStatic.with(env{file: f.secretKey}), text: twoStatic, kind: kmsenv.ErrConflict, variables: "SECRET_KEY SECRET_KEY_FILE"},

		// Where MinIO starts, and fails to connect.
		{name: "empty endpoint", env: withKES.with(env{end: " "}), text: "kms: no KES server endpoint provided", kind: kmsenv.ErrIncomplete, variables: end},
		{name: "only commas", env: withKES.with(env{end: ", ,"}), text: "kms: no KES server endpoint provided", kind: kmsenv.ErrIncomplete, variables: end},
		{name: "two dots", env: withKES.with(env{end: "https://kes-{1..3}:7373"}), text: "kms: invalid endpoint 'https://kes-{1..3}:7373': a range is written {N...M} with numbers or letters, N not after M", kind: kmsenv.ErrMalformed, variables: end},
		{name: "no scheme", env: withKES.with(env{end: "https://kes-1:7373,kes:7373"}), text: "kms: invalid endpoint 'kes:7373': it does not begin with https://", kind: kmsenv.ErrMalformed, variables: end},
		{name: "empty key name", env: withKES.with(env{name: " "}), text: incomplete + "'MINIO_KMS_KES_KEY_NAME' is empty", kind: kmsenv.ErrIncomplete, variables: name},
		{name: "bad key name", env: withKES.with(env{name: "a/b"}), text: `invalid key name: "a/b"`, kind: kmsenv.ErrMalformed, variables: name, cause: kms.ErrInvalidKeyID},
		{name: "empty API key", env: withKES.with(env{api: ""}), text: incomplete + "'MINIO_KMS_KES_API_KEY' is empty", kind: kmsenv.ErrIncomplete, variables: api},
		{name: "short API key", env: withKES.with(env{api: apiKey[:31]}), text: "kes: invalid API key: invalid length", kind: kmsenv.ErrMalformed, variables: api, cause: kes.ErrAPIKeyLength},
		{name: "API key of another type", env: withKES.with(env{api: "kes:v1:AQ" + apiKey[9:]}), text: "kes: invalid API key: unsupported type", kind: kmsenv.ErrMalformed, variables: api, cause: kes.ErrAPIKeyType},
		{name: "empty certificate", env: certificate.with(env{cert: ""}), text: incomplete + "'MINIO_KMS_KES_CERT_FILE' is empty", kind: kmsenv.ErrIncomplete, variables: cert},
		{name: "empty key file", env: certificate.with(env{key: ""}), text: incomplete + "'MINIO_KMS_KES_KEY_FILE' is empty", kind: kmsenv.ErrIncomplete, variables: key},
		{name: "certificate missing", env: certificate.with(env{cert: f.missing}), text: loadCert + "open " + f.missing + ": " + notFound(f.missing), kind: kmsenv.ErrMalformed, variables: cert, cause: fs.ErrNotExist},
		{name: "certificate is text", env: certificate.with(env{cert: f.text}), text: loadCert + "it has no certificate", kind: kmsenv.ErrMalformed, variables: cert},
		{name: "key file missing", env: certificate.with(env{key: f.missing}), text: loadKey + "open " + f.missing + ": " + notFound(f.missing), kind: kmsenv.ErrMalformed, variables: key, cause: fs.ErrNotExist},
		{name: "key file with two keys", env: certificate.with(env{key: f.twoKeys}), text: loadKey + "private key contains additional data", kind: kmsenv.ErrMalformed, variables: key, cause: kes.ErrAdditionalData},
		{name: "no encrypted key", env: certificate.with(env{key: f.pkcs8, pass: password}), text: loadKey + "it is no encrypted PKCS#8 key", kind: kmsenv.ErrMalformed, variables: key},
		{name: "no password", env: certificate.with(env{key: f.encryptedKey}), text: loadKey + kes.ErrPasswordMissing.Error(), kind: kmsenv.ErrMalformed, variables: key, cause: kes.ErrPasswordMissing},
		{name: "wrong password", env: certificate.with(env{key: f.encryptedKey, pass: password + "-not"}), text: "Unable to decrypt KES client private key as specified by the shell environment: x509: decryption password incorrect", kind: kmsenv.ErrMalformed, variables: key, cause: x509.IncorrectPasswordError},
		{name: "CAPATH without a certificate", env: withKES.with(env{ca: f.text}), text: "failed to read CA certificates from " + f.text + ": no PEM certificate in it", kind: kmsenv.ErrMalformed, variables: ca},
		{name: "secret key without a name", env: env{sec: secretKey}, text: "kms: invalid secret key format", kind: kmsenv.ErrMalformed, variables: sec, cause: static.ErrKeyFormat},
		{name: "short secret key", env: env{sec: "my-key:" + secretKey[:40]}, text: "kms: invalid key length 30", kind: kmsenv.ErrMalformed, variables: sec, cause: kms.ErrKeySize},
		{name: "secret key not base64", env: env{sec: "my-key:" + secretKey[:40] + "!"}, text: "illegal base64 data at input byte 40", kind: kmsenv.ErrMalformed, variables: sec},
		{name: "secret key file without a name", env: env{file: f.badSecretKey}, text: "failed to read key file " + f.badSecretKey + ": kms: invalid secret key format", kind: kmsenv.ErrMalformed, variables: file, cause: static.ErrKeyFormat},

		// Neither a key server nor a key.
		{name: "nothing", env: env{}, text: kms.ErrNotConfigured.Error()},
		{name: "empty static", env: env{sec: "", file: " "}, text: "no key server and no key is configured: MINIO_KMS_SECRET_KEY is empty, MINIO_KMS_SECRET_KEY_FILE is empty", kind: kms.ErrNotConfigured, variables: "SECRET_KEY SECRET_KEY_FILE"},
		{name: "static file missing", env: env{file: f.missing}, text: "no key server and no key is configured: MINIO_KMS_SECRET_KEY_FILE names a file that does not exist", kind: kms.ErrNotConfigured, variables: file},
		{name: "settings alone", env: env{ca: f.ca, auto: "off"}, text: "no key server and no key is configured: MINIO_KMS_KES_CAPATH alone names no key, MINIO_KMS_AUTO_ENCRYPTION alone names no key", kind: kms.ErrNotConfigured, variables: "CAPATH AUTO_ENCRYPTION"},
		{name: "auto-encryption alone", env: env{auto: "on"}, text: "MINIO_KMS_AUTO_ENCRYPTION requires a valid KMS configuration: no KMS configured", kind: kms.ErrNotConfigured, variables: auto},
		{name: "the kes command's, not asked for", env: env{"MINIO_KES_API_KEY": apiKey}, text: kms.ErrNotConfigured.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkRefused(t, tt.env, nil, tt.text, cmp.Or(tt.kind, kms.ErrNotConfigured), tt.variables)
			if _, _, err := kmsenv.Load(tt.env.lookup, nil); tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Errorf("the cause %v is not in %v", tt.cause, err)
			}
		})
	}
}

// notFound is what the system says of a file that is not there.
func notFound(path string) string {
	_, err := os.Open(path)
	return errors.Unwrap(err).Error()
}

// checkRefused loads e and compares the error. variables are the ends of their
// names, none if the error is not about variables.
func checkRefused(t *testing.T, e env, o *kmsenv.Options, text string, kind error, variables string) {
	t.Helper()
	client, config, err := kmsenv.Load(e.lookup, o)
	if err == nil || err.Error() != text {
		t.Fatalf("error  %v\n want  %s", err, text)
	}
	if !errors.Is(err, kind) {
		t.Errorf("%v is not of kind %v", err, kind)
	}
	for _, other := range []error{kmsenv.ErrConflict, kmsenv.ErrIncomplete, kmsenv.ErrMalformed, kms.ErrUnsupported, kms.ErrNotConfigured} {
		if other != kind && errors.Is(err, other) {
			t.Errorf("%v is of kind %v too", err, other)
		}
	}
	var about *kmsenv.Error
	if want := strings.Fields(variables); errors.As(err, &about) != (len(want) > 0) {
		t.Errorf("%T, want variables %v", err, want)
	} else if about != nil && !slices.EqualFunc(about.Variables, want, strings.HasSuffix) {
		t.Errorf("variables %v, want %v", about.Variables, want)
	}
	if client != nil {
		t.Error("an error, and a client")
	}
	noSecretIn(t, err.Error())
	noSecretIn(t, fmt.Sprintf("%v %+v %#v", config, config, about))
}

// TestLoadRefusesKESCommand has the errors of the kes command.
func TestLoadRefusesKESCommand(t *testing.T) {
	f := makeFiles(t)
	for _, tt := range []struct {
		name      string
		env       env
		text      string
		kind      error
		variables string
	}{
		{"only a server", env{"MINIO_KES_SERVER": "kes:7373"}, "no API key specified. Consider setting MINIO_KES_API_KEY", kmsenv.ErrIncomplete, "MINIO_KES_API_KEY"},
		{"empty API key", env{"MINIO_KES_API_KEY": "", "KES_API_KEY": apiKey}, "no API key specified. Consider setting MINIO_KES_API_KEY", kmsenv.ErrIncomplete, "MINIO_KES_API_KEY"},
		{"API key and key file", env{"KES_API_KEY": apiKey, "MINIO_KES_CLIENT_KEY": f.key}, "API key and private key file cannot be used at the same time", kmsenv.ErrConflict, "KES_API_KEY MINIO_KES_CLIENT_KEY"},
		{"API key and certificate", env{"MINIO_KES_API_KEY": apiKey, "KES_CLIENT_CERT": f.cert}, "API key and certificate file cannot be used at the same time", kmsenv.ErrConflict, "MINIO_KES_API_KEY KES_CLIENT_CERT"},
		{"no certificate", env{"MINIO_KES_KEY_FILE": f.key}, "no certificate file specified. Consider setting MINIO_KES_CERT_FILE", kmsenv.ErrIncomplete, "MINIO_KES_CERT_FILE"},
		{"no key file", env{"MINIO_KES_CERT_FILE": f.cert}, "no private key file specified. Consider setting MINIO_KES_KEY_FILE", kmsenv.ErrIncomplete, "MINIO_KES_KEY_FILE"},
		{"bad API key", env{"MINIO_KES_API_KEY": "kes:v1:AAAA"}, "kes: invalid API key: invalid length", kmsenv.ErrMalformed, "MINIO_KES_API_KEY"},
		{"empty server", env{"MINIO_KES_SERVER": "", "MINIO_KES_API_KEY": apiKey}, "kms: no KES server endpoint provided", kmsenv.ErrIncomplete, "MINIO_KES_SERVER"},
		{"bad server", env{"KES_SERVER": "kes:7373/v1", "MINIO_KES_API_KEY": apiKey}, "kms: invalid endpoint 'https://kes:7373/v1': something follows the host and port", kmsenv.ErrMalformed, "KES_SERVER"},
		{"wrong key file", env{"KES_CLIENT_CERT": f.cert, "KES_CLIENT_KEY": f.missing}, "Unable to load KES client private key as specified by the shell environment: open " + f.missing + ": " + notFound(f.missing), kmsenv.ErrMalformed, "KES_CLIENT_KEY"},
		{"MinIO's come first", env{"MINIO_KES_API_KEY": apiKey, name: "app"}, "kms: incomplete configuration for MinIO KES: missing 'MINIO_KMS_KES_ENDPOINT'", kmsenv.ErrIncomplete, end},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkRefused(t, tt.env, &kmsenv.Options{KESCommand: true}, tt.text, tt.kind, tt.variables)
		})
	}
}

// TestLoad has environments that name keys.
func TestLoad(t *testing.T) {
	f := makeFiles(t)
	certificate := env{end: "https://kes:7373", name: "app", cert: f.cert, key: f.key}
	for _, tt := range []struct {
		name, source, defaultKey string
		env                      env
		endpoints                string // of KES, sorted
		kesCommand               bool
	}{
		{name: "API key", env: withKES, source: end, defaultKey: "app", endpoints: "https://kes:7373"},
		{name: "API key without prefix, white space", env: env{end: " https://kes:7373\n", name: "\tapp ", api: " " + apiKey[7:] + "\n"}, source: end, defaultKey: "app", endpoints: "https://kes:7373"},
		{name: "endpoint list", env: withKES.with(env{end: " https://127.0.0.1:{1...2}, ,https://kes-{08...10}:7373"}), source: end, defaultKey: "app",
			endpoints: "https://127.0.0.1:1 https://127.0.0.1:2 https://kes-08:7373 https://kes-09:7373 https://kes-10:7373"},
		{name: "certificate", env: certificate, source: end, defaultKey: "app", endpoints: "https://kes:7373"},
		{name: "encrypted key", env: certificate.with(env{key: f.encryptedKey, pass: password}), source: end, defaultKey: "app", endpoints: "https://kes:7373"},
		{name: "empty static is no conflict", env: withKES.with(env{sec: "", file: ""}), source: end, defaultKey: "app", endpoints: "https://kes:7373"},
		{name: "missing static file is no conflict", env: withKES.with(env{file: f.missing}), source: end, defaultKey: "app", endpoints: "https://kes:7373"},
		{name: "CAPATH", env: withKES.with(env{ca: f.ca}), source: end, defaultKey: "app", endpoints: "https://kes:7373"},
		{name: "CAPATH missing", env: withKES.with(env{ca: f.missing}), source: end, defaultKey: "app", endpoints: "https://kes:7373"},
		{name: "static", env: withStatic, source: sec, defaultKey: "my-key"},
		{name: "static with a missing file", env: withStatic.with(env{file: f.missing}), source: sec, defaultKey: "my-key"},
		{name: "static with CAPATH", env: withStatic.with(env{ca: f.text}), source: sec, defaultKey: "my-key"},
		{name: "static file", env: env{file: f.secretKey, sec: " "}, source: file, defaultKey: "from-file"},
		{name: "static with the cache interval", env: withStatic.with(env{"MINIO_KMS_KEY_CACHE_INTERVAL": "nonsense"}), source: sec, defaultKey: "my-key"},

		{name: "command, API key", kesCommand: true, env: env{"MINIO_KES_API_KEY": apiKey}, source: "MINIO_KES_API_KEY", endpoints: "https://127.0.0.1:7373"},
		{name: "command, servers", kesCommand: true, env: env{"MINIO_KES_SERVER": "localhost:1, http://b:2,,https://c", "KES_API_KEY": apiKey}, source: "MINIO_KES_SERVER",
			endpoints: "https://b:2 https://c https://localhost:1"},
		{name: "command, first names", kesCommand: true, env: env{"MINIO_KES_SERVER": "a:1", "KES_SERVER": "b:2", "MINIO_KES_API_KEY": apiKey, "KES_API_KEY": "bad"}, source: "MINIO_KES_SERVER", endpoints: "https://a:1"},
		{name: "command, certificate", kesCommand: true, env: env{"KES_SERVER": "a:1", "KES_CLIENT_KEY": f.key, "MINIO_KES_CLIENT_CERT": f.cert}, source: "KES_SERVER", endpoints: "https://a:1"},
		{name: "command, empty API key", kesCommand: true, env: env{"MINIO_KES_API_KEY": "", "MINIO_KES_KEY_FILE": f.key, "MINIO_KES_CERT_FILE": f.cert}, source: "MINIO_KES_API_KEY", endpoints: "https://127.0.0.1:7373"},
		{name: "command, MinIO's come first", kesCommand: true, env: withStatic.with(env{"MINIO_KES_API_KEY": "bad"}), source: sec, defaultKey: "my-key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, config, err := kmsenv.Load(tt.env.lookup, &kmsenv.Options{KESCommand: tt.kesCommand})
			if err != nil {
				t.Fatal(err)
			}
			if config.Source != tt.source || config.DefaultKeyID != tt.defaultKey || config.AutoEncryption {
				t.Errorf("config %v", config)
			}
			noSecretIn(t, fmt.Sprintf("%v %+v %#v", config, config, config))
			var endpoints []string
			if b, ok := client.Backend().(*kes.Backend); ok {
				endpoints = endpointsOf(t, b)
			}
			if got := strings.Join(endpoints, " "); got != tt.endpoints {
				t.Errorf("endpoints %q, want %q", got, tt.endpoints)
			}
		})
	}
}

// endpointsOf asks for a status that is given up at once: nothing is dialled.
func endpointsOf(t *testing.T, b *kes.Backend) (addresses []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, err := b.Status(ctx)
	if err == nil {
		t.Fatal("an answer to a call given up")
	}
	for _, e := range status.Endpoints {
		addresses = append(addresses, e.Address)
	}
	slices.Sort(addresses) // which one is preferred is random
	return addresses
}

// TestAutoEncryption: what cannot be read is off, as in MinIO.
func TestAutoEncryption(t *testing.T) {
	for value, want := range map[string]bool{
		"on": true, "ON": true, "true": true, "1": true, " on ": true,
		"off": false, "false": false, "0": false, "": false, "enable please": false,
	} {
		_, config, err := kmsenv.Load(withStatic.with(env{auto: value}).lookup, nil)
		if err != nil || config.AutoEncryption != want {
			t.Errorf("%q: %v, %v", value, config.AutoEncryption, err)
		}
	}
}

// variables are all that are about keys.
var variables = []string{end, name, api, cert, key, pass, ca, sec, file, auto,
	"MINIO_KMS_SERVER", "MINIO_KMS_ENCLAVE", "MINIO_KMS_SSE_KEY", "MINIO_KMS_API_KEY",
	"MINIO_KMS_REPLICATE_KEYID", "MINIO_KMS_KEY_CACHE_INTERVAL",
	"MINIO_KES_SERVER", "KES_SERVER", "MINIO_KES_API_KEY", "KES_API_KEY",
	"MINIO_KES_KEY_FILE", "KES_CLIENT_KEY", "MINIO_KES_CLIENT_KEY",
	"MINIO_KES_CERT_FILE", "KES_CLIENT_CERT", "MINIO_KES_CLIENT_CERT"}

// TestRing: with any variable at all, even an empty one, the key ring is out of
// the question.
func TestRing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	ring, _, err := static.CreateRing(path)
	if err != nil {
		t.Fatal(err)
	}
	o := &kmsenv.Options{KESCommand: true, Ring: path}
	client, config, err := kmsenv.Load(env{"HOME": "/"}.lookup, o)
	if err != nil {
		t.Fatal(err)
	}
	if config.Source != "key ring "+path || config.DefaultKeyID != ring.DefaultKeyID() {
		t.Errorf("config %v", config)
	}
	made, err := client.GenerateKey(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Decrypt(t.Context(), made.KeyID, made.Ciphertext, nil); err != nil {
		t.Errorf("another key than the ring's: %v", err)
	}
	if kmsenv.HasAny(env{"HOME": "/"}.lookup) {
		t.Error("HasAny without a variable")
	}
	for _, v := range variables {
		for _, value := range []string{"", filepath.Join(t.TempDir(), "missing")} {
			e := env{v: value}
			if !kmsenv.HasAny(e.lookup) {
				t.Errorf("HasAny does not know %s=%q", v, value)
			}
			if _, config, err := kmsenv.Load(e.lookup, o); err == nil || strings.HasPrefix(config.Source, "key ring") {
				t.Errorf("%s=%q: keys from %s, %v", v, value, config.Source, err)
			}
		}
	}

	o.Ring = filepath.Join(path, "..", "missing")
	if _, _, err := kmsenv.Load(env{}.lookup, o); !errors.Is(err, kms.ErrNotConfigured) || !strings.Contains(err.Error(), o.Ring) {
		t.Errorf("no ring: %v", err)
	}
	if _, err := os.Stat(o.Ring); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load made a key ring (%v)", err)
	}
	o.Ring = makeFiles(t).text
	var broken *static.FileError
	if _, _, err := kmsenv.Load(env{}.lookup, o); !errors.As(err, &broken) || errors.Is(err, kms.ErrNotConfigured) {
		t.Errorf("a ring without keys: %v", err)
	}
}

// TestLookupEnv: without a lookup it is the process's own environment.
func TestLookupEnv(t *testing.T) {
	for _, v := range variables {
		t.Setenv(v, "") // restored after the test
		os.Unsetenv(v)
	}
	if kmsenv.HasAny(nil) {
		t.Error("HasAny in an empty environment")
	}
	if client, _, err := kmsenv.Load(nil, nil); client != nil || !errors.Is(err, kms.ErrNotConfigured) {
		t.Errorf("Load in an empty environment: %v", err)
	}
	t.Setenv(sec, withStatic[sec])
	if _, config, err := kmsenv.Load(nil, nil); err != nil || config.Source != sec || !kmsenv.HasAny(nil) {
		t.Errorf("config %v, %v", config, err)
	}
}

func TestClientOptions(t *testing.T) {
	refused := errors.New("refused")
	client, _, err := kmsenv.Load(withStatic.lookup, &kmsenv.Options{Client: &kms.Options{
		DefaultKeyID: "other",
		Authorize: func(_ context.Context, _ kms.Operation, keyID string, _ kms.AssociatedData) error {
			if keyID != "other" {
				t.Errorf("key %q, want the options' default", keyID)
			}
			return refused
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.GenerateKey(t.Context(), "", nil); !errors.Is(err, refused) {
		t.Errorf("the options do not reach the client: %v", err)
	}
}
