// Command inspect is OpenShift's `oc adm inspect` alone: what its must-gather runs, without the images that it runs in.
package main

import (
	"os"

	"github.com/openshift/oc/pkg/cli/admin/inspect"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func main() {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	if err := inspect.NewCmdInspect(streams).Execute(); err != nil {
		os.Exit(1)
	}
}
