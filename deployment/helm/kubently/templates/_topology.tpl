{{/* What the values mean: which parts there are, what their names in DNS are, where TLS ends. "true" or "" for yes and no. */}}

{{- define "kubently.hasApi" -}}
{{- if kindIs "invalid" .Values.api.enabled -}}
{{- if or .Values.tls.external.domain (not (include "kubently.executor.isRemote" .)) }}true{{ end -}}
{{- else if .Values.api.enabled -}}true{{- end -}}
{{- end -}}

{{- define "kubently.hasExecutor" -}}{{- if .Values.executor.enabled }}true{{ end -}}{{- end -}}

{{/* The URLs that the values name, ' ' between. */}}
{{- define "kubently.executor.givenUrls" -}}
{{- prepend .Values.executor.apiUrls .Values.executor.apiUrl | compact | join " " -}}
{{- end -}}

{{/* Whether they name an API that is not this release's. */}}
{{- define "kubently.executor.isRemote" -}}
{{- $own := concat (list .Values.tls.external.domain) .Values.tls.external.additionalDomains .Values.gateway.httpRoute.hostnames -}}
{{- range .Values.ingress.hosts }}{{ $own = append $own .host }}{{ end -}}
{{- range splitList " " (include "kubently.executor.givenUrls" .) -}}
{{- $host := include "kubently.hostOf" . -}}
{{- if and $host (not (include "kubently.isInside" $host)) (not (has $host $own)) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* A URL's host, lower case, without its port. */}}
{{- define "kubently.hostOf" -}}
{{- with . }}{{ regexReplaceAll ":[0-9]*$" (urlParse .).host "" | lower }}{{ end -}}
{{- end -}}

{{/* Whether a host can only be one of this cluster: a Service's name, or this machine. */}}
{{- define "kubently.isInside" -}}
{{- if or (not (contains "." .)) (contains ".svc." .) (hasSuffix ".svc" .) (hasPrefix "127." .) }}true{{ end -}}
{{- end -}}

{{- define "kubently.tls.mode" -}}
{{- if not .Values.tls.enabled -}}none
{{- else if .Values.tls.mode -}}{{ .Values.tls.mode }}
{{- else -}}{{ ternary "external" "internal" (not (empty .Values.tls.external.domain)) }}
{{- end -}}
{{- end -}}

{{/* Secret with the certificate for clients. */}}
{{- define "kubently.tls.secret" -}}
{{- .Values.tls.existingSecret | default .Values.tls.secretName | default (printf "%s-tls" (include "kubently.api" .)) -}}
{{- end -}}

{{/* Secret with the CA of internal mode. */}}
{{- define "kubently.tls.caSecret" -}}{{ include "kubently.base" . }}-ca{{- end -}}

{{/* Secret with the certificate of the API's pod. */}}
{{- define "kubently.tls.podSecret" -}}
{{- if eq (include "kubently.tls.mode" .) "internal" -}}{{ include "kubently.tls.secret" . }}
{{- else -}}{{ include "kubently.api" . }}-pod-tls{{- end -}}
{{- end -}}

{{- define "kubently.tls.endToEnd" -}}
{{- if and .Values.tls.enabled .Values.tls.internal.endToEnd (include "kubently.hasApi" .) }}true{{ end -}}
{{- end -}}

{{/* Who makes certificates of the internal CA: certManager, chart, or "" where none is needed. */}}
{{- define "kubently.tls.internalProvider" -}}
{{- $mode := include "kubently.tls.mode" . -}}
{{- $given := or .Values.tls.existingSecret .Values.tls.certificate.crt -}}
{{- if and (include "kubently.hasApi" .) (or (and (eq $mode "internal") (not $given)) (and (ne $mode "none") (ne $mode "internal") (include "kubently.tls.endToEnd" .))) -}}
{{- if ne .Values.tls.internal.provider "auto" -}}{{ .Values.tls.internal.provider }}
{{- else if or .Values.tls.internal.issuer (.Capabilities.APIVersions.Has "cert-manager.io/v1/Certificate") -}}certManager
{{- else -}}chart
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names of the API's Service, ' ' between. */}}
{{- define "kubently.api.serviceNames" -}}
{{- $name := include "kubently.api" . -}}
{{- $space := .Release.Namespace -}}
{{- printf "%s %s.%s %s.%s.svc %s.%s.svc.%s" $name $name $space $name $space $name $space .Values.global.clusterDomain -}}
{{- end -}}

{{/* Hosts that clients use from outside, ' ' between. */}}
{{- define "kubently.api.publicHosts" -}}
{{- $hosts := list -}}
{{- range .Values.ingress.hosts }}{{ $hosts = append $hosts .host }}{{ end -}}
{{- $hosts = concat $hosts .Values.gateway.httpRoute.hostnames -}}
{{- with .Values.tls.external.domain }}{{ $hosts = append $hosts . }}{{ end -}}
{{- $hosts = concat $hosts .Values.tls.external.additionalDomains -}}
{{- if not $hosts }}{{ $hosts = list "kubently.local" }}{{ end -}}
{{- $hosts | compact | uniq | join " " -}}
{{- end -}}

{{/* URL that people use. */}}
{{- define "kubently.api.publicUrl" -}}
{{- $host := default (splitList " " (include "kubently.api.publicHosts" .) | first) .Values.tls.external.domain -}}
{{- if eq (include "kubently.tls.mode" .) "none" -}}http://{{ $host }}
{{- else -}}https://{{ $host }}{{ if ne (int .Values.tls.external.port) 443 }}:{{ .Values.tls.external.port }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "kubently.api.insideUrl" -}}
{{- if include "kubently.tls.endToEnd" . -}}https://{{ include "kubently.api" . }}:{{ .Values.api.service.tlsPort }}
{{- else -}}http://{{ include "kubently.api" . }}:{{ .Values.api.service.port }}
{{- end -}}
{{- end -}}

{{/* The executor's API: what is given, else by topology. */}}
{{- define "kubently.executor.url" -}}
{{- if include "kubently.executor.givenUrls" . -}}{{ include "kubently.executor.givenUrls" . | splitList " " | first }}
{{- else if and (eq (include "kubently.tls.mode" .) "external") .Values.tls.external.domain -}}{{ include "kubently.api.publicUrl" . }}
{{- else -}}{{ include "kubently.api.insideUrl" . }}
{{- end -}}
{{- end -}}

{{/* Whether the executor of this release dials the Service of this release. */}}
{{- define "kubently.executor.usesService" -}}
{{- if include "kubently.hasApi" . -}}
{{- if has (include "kubently.hostOf" (include "kubently.executor.url" .)) (include "kubently.api.serviceNames" . | splitList " ") }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- define "kubently.executor.clusterId" -}}{{ default .Release.Namespace .Values.executor.clusterId }}{{- end -}}

{{/* How the executor proves who it is: enrolment, token, certificate. */}}
{{- define "kubently.executor.credential" -}}
{{- with .Values.executor -}}
{{- if .enrolment.existingSecret -}}enrolment
{{- else if or .existingSecret .token (include "kubently.hasApi" $) -}}token
{{- else -}}certificate
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "kubently.executor.tokenSecret" -}}
{{- default (printf "%s-token" (include "kubently.executor" .)) .Values.executor.existingSecret -}}
{{- end -}}
{{- define "kubently.executor.tokenKey" -}}
{{- ternary .Values.executor.existingSecretKey "token" (not (empty .Values.executor.existingSecret)) -}}
{{- end -}}
{{- define "kubently.executor.identitySecret" -}}{{ include "kubently.executor" . }}-identity{{- end -}}

{{/* Whether the API takes the static token of the executor beside it. */}}
{{- define "kubently.api.takesToken" -}}
{{- if and (include "kubently.hasApi" .) (include "kubently.hasExecutor" .) (eq (include "kubently.executor.credential" .) "token") }}true{{ end -}}
{{- end -}}

{{/* redis (this release's), external, or sqlite. */}}
{{- define "kubently.store" -}}
{{- if .Values.externalRedis.url -}}external
{{- else if or (kindIs "invalid" .Values.redis.enabled) .Values.redis.enabled -}}redis
{{- else -}}sqlite
{{- end -}}
{{- end -}}
{{- define "kubently.hasRedis" -}}
{{- if and (include "kubently.hasApi" .) (eq (include "kubently.store" .) "redis") }}true{{ end -}}
{{- end -}}
{{- define "kubently.redis.secret" -}}
{{- default (printf "%s-redis" (include "kubently.base" .)) .Values.redis.auth.existingSecret -}}
{{- end -}}
{{- define "kubently.redis.key" -}}
{{- ternary .Values.redis.auth.existingSecretKey "password" (not (empty .Values.redis.auth.existingSecret)) -}}
{{- end -}}

{{- define "kubently.api.secret" -}}{{ default (include "kubently.api" .) .Values.api.existingSecret }}{{- end -}}
{{- define "kubently.api.key" -}}
{{- ternary .Values.api.existingSecretKey "admin-key" (not (empty .Values.api.existingSecret)) -}}
{{- end -}}

{{- define "kubently.api.replicas" -}}
{{- if kindIs "invalid" .Values.api.replicaCount -}}
{{- ternary 1 2 (eq (include "kubently.store" .) "sqlite") -}}
{{- else -}}{{ .Values.api.replicaCount }}
{{- end -}}
{{- end -}}

{{/* Whether more than one replica may run. */}}
{{- define "kubently.api.isReplicated" -}}
{{- if or .Values.autoscaling.enabled (gt (include "kubently.api.replicas" . | int) 1) }}true{{ end -}}
{{- end -}}

{{- define "kubently.hasIngress" -}}
{{- if include "kubently.hasApi" . -}}
{{- if kindIs "invalid" .Values.ingress.enabled -}}
{{- if and (ne (include "kubently.tls.mode" .) "none") (not .Values.gateway.httpRoute.enabled) }}true{{ end -}}
{{- else if .Values.ingress.enabled -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether an optional kind is rendered: (list $ "monitoring.coreos.com/v1/ServiceMonitor"). */}}
{{- define "kubently.mayRender" -}}
{{- $ := index . 0 -}}
{{- if or (eq $.Values.global.optionalKinds "alwaysRender") ($.Capabilities.APIVersions.Has (index . 1)) }}true{{ end -}}
{{- end -}}

{{/* What stays as it was at the first install: (list $ secret key length). */}}
{{- define "kubently.kept" -}}
{{- $ := index . 0 -}}
{{- $there := lookup "v1" "Secret" $.Release.Namespace (index . 1) -}}
{{- $value := dig "data" (index . 2) "" (default dict $there) -}}
{{- if $value }}{{ $value | b64dec }}{{ else }}{{ randAlphaNum (int (index . 3)) }}{{ end -}}
{{- end -}}
