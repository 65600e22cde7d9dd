// Command k8sgpt-analyzers runs all of k8sgpt's analyzers over a cluster, without any model, and prints what they find
// as JSON. k8sgpt's own command needs generated modules that the checksum database does not know.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"

	"github.com/k8sgpt-ai/k8sgpt/pkg/analyzer"
	"github.com/k8sgpt-ai/k8sgpt/pkg/common"
	"github.com/k8sgpt-ai/k8sgpt/pkg/kubernetes"
)

type told struct {
	Results []common.Result   `json:"results"`
	Errors  map[string]string `json:"errors"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: k8sgpt-analyzers KUBECONFIG")
		os.Exit(2)
	}
	client, err := kubernetes.NewClient("", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, all := analyzer.GetAnalyzerMap()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	answer := told{Results: []common.Result{}, Errors: map[string]string{}}
	for _, name := range names {
		found, err := run(name, all[name], client)
		if err != nil {
			answer.Errors[name] = err.Error()
		}
		answer.Results = append(answer.Results, found...)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run turns a panic of one analyzer into an error, as its own command survives none.
func run(name string, chosen common.IAnalyzer, client *kubernetes.Client) (found []common.Result, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("%s: %v", name, problem)
		}
	}()
	return chosen.Analyze(common.Analyzer{Client: client, Context: context.Background()})
}
