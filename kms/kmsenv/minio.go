package kmsenv

import (
	"fmt"
	"slices"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
)

// MinIO's variables (KES spec section 8.1).
const (
	kesEndpoint    = "MINIO_KMS_KES_ENDPOINT"
	kesKeyName     = "MINIO_KMS_KES_KEY_NAME"
	kesAPIKey      = "MINIO_KMS_KES_API_KEY"
	kesCertFile    = "MINIO_KMS_KES_CERT_FILE"
	kesKeyFile     = "MINIO_KMS_KES_KEY_FILE"
	kesKeyPassword = "MINIO_KMS_KES_KEY_PASSWORD"
	kesCAPath      = "MINIO_KMS_KES_CAPATH"
	secretKey      = "MINIO_KMS_SECRET_KEY"
	secretKeyFile  = "MINIO_KMS_SECRET_KEY_FILE"
	autoEncryption = "MINIO_KMS_AUTO_ENCRYPTION"
)

var (
	kesVariables    = []string{kesEndpoint, kesKeyName, kesAPIKey, kesCertFile, kesKeyFile, kesKeyPassword}
	staticVariables = []string{secretKey, secretKeyFile}
	minKMSVariables = []string{"MINIO_KMS_SERVER", "MINIO_KMS_ENCLAVE", "MINIO_KMS_SSE_KEY", "MINIO_KMS_API_KEY"}

	// settings name no key by themselves.
	settings = []string{kesCAPath, autoEncryption, "MINIO_KMS_REPLICATE_KEYID", "MINIO_KMS_KEY_CACHE_INTERVAL"}

	minIOVariables = slices.Concat(kesVariables, staticVariables, minKMSVariables, settings)
	allVariables   = slices.Concat(minIOVariables, kesCommandVariables)
)

// parseMinIO checks in MinIO's order. A Config without open is one without
// keys.
func parseMinIO(env environment) (Config, error) {
	// A built-in key variable that is empty is not set.
	kesSet, minKMSSet, staticSet := env.present(kesVariables), env.present(minKMSVariables), env.filled(staticVariables)
	switch isKES, isMinKMS, isStatic := len(kesSet) > 0, len(minKMSSet) > 0, len(staticSet) > 0; {
	case isKES && isMinKMS:
		return Config{}, conflict("kms: configuration for MinIO KMS and MinIO KES is present", minKMSSet, kesSet)
	case isMinKMS && isStatic:
		return Config{}, conflict("kms: configuration for MinIO KMS and static KMS key is present", minKMSSet, staticSet)
	case isKES && isStatic:
		return Config{}, conflict("kms: configuration for MinIO KES and static KMS key is present", kesSet, staticSet)
	case isMinKMS:
		return Config{}, &Error{Kind: kms.ErrUnsupported, Variables: minKMSSet,
			Message: "kms: MinIO KMS is not supported, only MinIO KES and static KMS keys are"}
	case isKES:
		return parseMinIOKES(env)
	case isStatic:
		return parseStatic(env)
	}
	return Config{}, nil
}

func conflict(message string, variables ...[]string) *Error {
	return &Error{Kind: ErrConflict, Variables: slices.Concat(variables...), Message: message}
}

func malformed(variable string, err error) *Error {
	return &Error{Kind: ErrMalformed, Variables: []string{variable}, Err: err}
}

func parseStatic(env environment) (Config, error) {
	text, path := env.get(secretKey), env.get(secretKeyFile)
	switch {
	case text != "" && path != "":
		return Config{}, conflict("kms: invalid configuration for static KMS key: 'MINIO_KMS_SECRET_KEY' and 'MINIO_KMS_SECRET_KEY_FILE' are present", staticVariables)
	case text != "":
		key, err := static.ParseKey(text)
		if err != nil {
			return Config{}, malformed(secretKey, err)
		}
		return Config{Source: secretKey, open: func(*Options) (kms.Backend, error) {
			return static.New([]static.Key{key}, key.Name)
		}}, nil
	default:
		return Config{Source: secretKeyFile, Files: []File{{Variable: secretKeyFile, Path: path, Secret: true}}, open: func(*Options) (kms.Backend, error) {
			key, err := static.ReadKeyFile(path)
			if err != nil {
				return nil, malformed(secretKeyFile, err)
			}
			return static.New([]static.Key{key}, key.Name)
		}}, nil
	}
}

func parseMinIOKES(env environment) (Config, error) {
	incomplete := func(what string, names ...string) (Config, error) {
		return Config{}, &Error{Kind: ErrIncomplete, Variables: names,
			Message: "kms: incomplete configuration for MinIO KES: " + what}
	}
	missing := func(name string) (Config, error) { return incomplete("missing '"+name+"'", name) }
	has := func(name string) bool { return len(env.present([]string{name})) > 0 }

	certificate := env.present([]string{kesCertFile, kesKeyFile, kesKeyPassword})
	needed := []string{kesKeyName, kesAPIKey}
	switch {
	case !has(kesEndpoint):
		return missing(kesEndpoint)
	case !has(kesKeyName):
		return missing(kesKeyName)
	case has(kesAPIKey) && len(certificate) > 0:
		return Config{}, conflict("kms: invalid configuration for MinIO KES: 'MINIO_KMS_KES_API_KEY' and client certificate is present", []string{kesAPIKey}, certificate)
	case !has(kesAPIKey):
		needed = []string{kesKeyName, kesCertFile, kesKeyFile}
		switch {
		case len(certificate) == 0:
			return incomplete("missing authentication method", kesAPIKey, kesCertFile, kesKeyFile)
		case !has(kesCertFile):
			return missing(kesCertFile)
		case !has(kesKeyFile):
			return missing(kesKeyFile)
		}
	}

	// From here on MinIO has started to connect.
	for _, name := range needed {
		if env.get(name) == "" {
			return incomplete("'"+name+"' is empty", name)
		}
	}
	name := env.get(kesKeyName)
	server := kesServer{source: kesEndpoint, defaultKeyID: name, caPath: env.get(kesCAPath)}
	if err := server.listEndpoints(kesEndpoint, env.get(kesEndpoint)); err != nil {
		return Config{}, err
	}
	if !kms.ValidName(name) {
		return Config{}, malformed(kesKeyName, fmt.Errorf("%w: %s", kms.ErrInvalidKeyID, kms.QuoteKeyID(name)))
	}
	if has(kesAPIKey) {
		return server.withAPIKey(kesAPIKey, env.get(kesAPIKey))
	}
	files := certificateFiles{certBy: kesCertFile, cert: env.get(kesCertFile), keyBy: kesKeyFile, key: env.get(kesKeyFile)}
	return server.withCertificate(files, env.get(kesKeyPassword)), nil
}
