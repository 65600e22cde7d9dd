{{/* The executor's policy file. */}}
{{- define "kubently.executor.policy" -}}
{{- $policy := dict "mode" "read-only" "secrets" .Values.executor.rbac.secrets -}}
{{- $credential := include "kubently.executor.credential" . -}}
{{- if eq $credential "enrolment" -}}
{{- $_ := set $policy "ownSecret" (dict "namespace" .Release.Namespace "name" (include "kubently.executor.identitySecret" .)) -}}
{{- else if eq $credential "token" -}}
{{- $_ := set $policy "ownSecret" (dict "namespace" .Release.Namespace "name" (include "kubently.executor.tokenSecret" .)) -}}
{{- end -}}
{{- with .Values.executor.grants -}}
{{- $_ := set $policy "grants" . -}}
{{- end -}}
{{- with .Values.executor.rbac.namespaces -}}
{{- $_ := set $policy "narrow" (dict "namespaces" .) -}}
{{- end -}}
{{- mergeOverwrite $policy (deepCopy .Values.executor.policy) | toYaml -}}
{{- end -}}

{{/* What it may read, as RBAC rules. Secrets only where a value says so. */}}
{{- define "kubently.executor.rules" -}}
- apiGroups: [""]
  resources: [configmaps, endpoints, events, limitranges, persistentvolumeclaims, pods, pods/log, pods/status, podtemplates, replicationcontrollers, replicationcontrollers/scale, resourcequotas, serviceaccounts, services]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [controllerrevisions, daemonsets, deployments, deployments/scale, replicasets, replicasets/scale, statefulsets, statefulsets/scale]
  verbs: [get, list, watch]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [get, list, watch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings, roles]
  verbs: [get, list, watch]
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [backendtlspolicies, gateways, grpcroutes, httproutes, referencegrants]
  verbs: [get, list, watch]
- apiGroups: [cert-manager.io]
  resources: [certificaterequests, certificates, issuers]
  verbs: [get, list, watch]
- apiGroups: [acme.cert-manager.io]
  resources: [challenges, orders]
  verbs: [get, list, watch]
- apiGroups: [argoproj.io]
  resources: [applications, applicationsets, appprojects, rollouts]
  verbs: [get, list, watch]
- apiGroups: [helm.toolkit.fluxcd.io, kustomize.toolkit.fluxcd.io, source.toolkit.fluxcd.io]
  resources: [buckets, gitrepositories, helmcharts, helmreleases, helmrepositories, kustomizations, ocirepositories]
  verbs: [get, list, watch]
{{- if or (eq .Values.executor.rbac.secrets "metadata") (has "helm-releases" .Values.executor.grants) }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- end }}
{{- with .Values.executor.rbac.extraRules }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The same of what lies in no namespace. */}}
{{- define "kubently.executor.clusterRules" -}}
- apiGroups: [""]
  resources: [componentstatuses, namespaces, nodes, persistentvolumes]
  verbs: [get, list, watch]
- apiGroups: [storage.k8s.io]
  resources: [csidrivers, csinodes, csistoragecapacities, storageclasses, volumeattachments]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [get, list, watch]
- apiGroups: [scheduling.k8s.io]
  resources: [priorityclasses]
  verbs: [get, list, watch]
- apiGroups: [node.k8s.io]
  resources: [runtimeclasses]
  verbs: [get, list, watch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterrolebindings, clusterroles]
  verbs: [get, list, watch]
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations, validatingadmissionpolicies, validatingadmissionpolicybindings, validatingwebhookconfigurations]
  verbs: [get, list, watch]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list, watch]
- apiGroups: [apiregistration.k8s.io]
  resources: [apiservices]
  verbs: [get, list, watch]
- apiGroups: [flowcontrol.apiserver.k8s.io]
  resources: [flowschemas, prioritylevelconfigurations]
  verbs: [get, list, watch]
- apiGroups: [metrics.k8s.io]
  resources: [nodes]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses]
  verbs: [get, list, watch]
- apiGroups: [cert-manager.io]
  resources: [clusterissuers]
  verbs: [get, list, watch]
{{- end -}}

{{/* The right to impersonate the policy's groups; users cannot be named by a pattern. */}}
{{- define "kubently.executor.impersonationRules" -}}
{{- with dig "impersonate" "groups" dict .Values.executor.policy }}
- apiGroups: [""]
  resources: [groups]
  verbs: [impersonate]
  resourceNames: {{ keys . | sortAlpha | toJson }}
- apiGroups: [""]
  resources: [users]
  verbs: [impersonate]
{{- end }}
{{- end -}}
