//go:build tools

// Package cli pins the Pulumi CLI as an ordinary Go module, for networks where its releases cannot be downloaded.
package cli

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
