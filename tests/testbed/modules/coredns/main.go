// A name server for pods: the cluster's Services, fixed names of other clusters, and nothing beyond.
package main

import (
	"github.com/coredns/coredns/coremain"

	// A plugin is registered by being imported; the order in a Corefile does not matter.
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

func main() { coremain.Run() }
