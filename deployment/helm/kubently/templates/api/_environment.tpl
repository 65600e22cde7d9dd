{{/* The API's environment as a map. */}}
{{- define "kubently.api.environment" -}}
{{- $store := include "kubently.store" . -}}
{{- $chart := include "kubently.api.chartEnvironment" . | fromYaml -}}
{{- mergeOverwrite $chart (deepCopy .Values.api.env) | toYaml -}}
{{- end -}}

{{- define "kubently.api.chartEnvironment" -}}
{{- $store := include "kubently.store" . -}}
{{- $isTls := include "kubently.tls.endToEnd" . -}}
KUBENTLY_LISTEN: {{ ternary "0.0.0.0:8443" "0.0.0.0:8080" (not (empty $isTls)) }}
{{- if $isTls }}
KUBENTLY_TLS_CERT: /etc/kubently/tls/tls.crt
KUBENTLY_TLS_KEY: /etc/kubently/tls/tls.key
{{- end }}
KUBENTLY_METRICS_LISTEN: 0.0.0.0:9090
KUBENTLY_ADMIN_KEY_FILE: /etc/kubently/keys/admin-key
KUBENTLY_EXECUTOR_TOKENS_DIR: /etc/kubently/executor-tokens
KUBENTLY_AUDIT_DIR: /var/lib/kubently/audit
KUBENTLY_AUDIT_FAIL_CLOSED: {{ .Values.api.audit.failClosed | quote }}
{{- with .Values.api.audit.sinks }}
KUBENTLY_AUDIT_SINKS: {{ join "," . | quote }}
{{- end }}
KUBENTLY_AUDIT_JOURNAL_BYTES: {{ include "kubently.api.journalBytes" . | quote }}
{{- if not (has "*" .Values.api.extraHosts) }}
KUBENTLY_HOSTS: {{ include "kubently.api.hosts" . | quote }}
{{- end }}
{{- with .Values.api.trustedProxies }}
KUBENTLY_TRUSTED_PROXIES: {{ join "," . | quote }}
{{- end }}
{{- if eq $store "sqlite" }}
KUBENTLY_STORE: sqlite:////var/lib/kubently/store/kubently.db
{{- else }}
{{- include "kubently.api.redisEnvironment" . }}
KUBENTLY_PEER_LISTEN: 0.0.0.0:{{ .Values.api.peers.port }}
POD_IP: {valueFrom: {fieldRef: {fieldPath: status.podIP}}}
KUBENTLY_PEER_ADDRESS: $(POD_IP):{{ .Values.api.peers.port }}
{{- with .Values.api.peers.caSecret }}
KUBENTLY_PEER_CA_CERT: /etc/kubently/peers/tls.crt
KUBENTLY_PEER_CA_KEY: /etc/kubently/peers/tls.key
{{- end }}
{{- end }}
{{- with .Values.api.enrolment.caSecret }}
KUBENTLY_EXECUTOR_CA_CERT: /etc/kubently/executor-ca/tls.crt
KUBENTLY_EXECUTOR_CA_KEY: /etc/kubently/executor-ca/tls.key
{{- end }}
{{- with .Values.tls.clientAuth }}
{{- if ne .mode "none" }}
KUBENTLY_CLIENT_CERTS: {{ ternary "require" "accept" (eq .mode "required") }}
{{- with .caSecret }}
KUBENTLY_CLIENT_CA: /etc/kubently/client-ca/ca.crt
{{- end }}
{{- with .forwardedHeader }}
KUBENTLY_CLIENT_CERT_HEADER: {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.api.oidc }}
{{- if .issuer }}
KUBENTLY_OIDC_ISSUER: {{ .issuer | quote }}
KUBENTLY_OIDC_CLIENT_ID: {{ .clientId | quote }}
KUBENTLY_OIDC_ROLES_FILE: /etc/kubently/roles/roles.yaml
{{- end }}
{{- end }}
{{- if .Values.api.analyzers }}
KUBENTLY_ANALYZERS: /etc/kubently/analyzers
{{- end }}
{{- with .Values.api.continuous }}
KUBENTLY_CONTINUOUS: {{ .clusters | quote }}
{{- with .webhooks }}
KUBENTLY_FINDINGS_WEBHOOKS: {{ join "," . | quote }}
{{- end }}
{{- if .webhookSecret }}
KUBENTLY_FINDINGS_WEBHOOK_SECRET_FILE: /etc/kubently/webhook/secret
{{- end }}
{{- end }}
{{- include "kubently.proxyEnv" . }}
{{- end -}}

{{- define "kubently.api.redisEnvironment" }}
{{- if eq (include "kubently.store" .) "redis" }}
KUBENTLY_STORE: redis://{{ include "kubently.redis" . }}:6379/0
{{- if .Values.redis.auth.enabled }}
KUBENTLY_STORE_PASSWORD_FILE: /etc/kubently/redis/password
{{- end }}
{{- else }}
{{- with .Values.externalRedis }}
KUBENTLY_STORE: {{ .url | quote }}
{{- with .username }}
KUBENTLY_STORE_USERNAME: {{ . | quote }}
{{- end }}
{{- if .existingSecret }}
KUBENTLY_STORE_PASSWORD_FILE: /etc/kubently/redis/password
{{- if .sentinelPasswordKey }}
KUBENTLY_STORE_SENTINEL_PASSWORD: {valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .sentinelPasswordKey }}}}}
{{- end }}
{{- end }}
{{- if .tls.caSecret }}
KUBENTLY_STORE_CA_CERT: /etc/kubently/redis-ca/ca.crt
{{- end }}
{{- if .tls.clientSecret }}
KUBENTLY_STORE_CLIENT_CERT: /etc/kubently/redis-client/tls.crt
KUBENTLY_STORE_CLIENT_KEY: /etc/kubently/redis-client/tls.key
{{- end }}
{{- with .tls.serverName }}
KUBENTLY_STORE_TLS_SERVER_NAME: {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Half of the journal's volume, in bytes: records that wait must never fill it. */}}
{{- define "kubently.api.journalBytes" -}}
{{- $size := .Values.api.audit.size -}}
{{- $unit := get (dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824) (regexFind "[A-Za-z]+$" $size) -}}
{{- div (mul (regexFind "^[0-9]+" $size | int64) $unit) 2 -}}
{{- end -}}

{{/* Names that requests may give the API. */}}
{{- define "kubently.api.hosts" -}}
{{- $names := concat (include "kubently.api.publicHosts" . | splitList " ") (include "kubently.api.serviceNames" . | splitList " ") -}}
{{- concat $names (list "localhost" "127.0.0.1") .Values.api.extraHosts | uniq | join "," -}}
{{- end -}}

{{/* Secrets that the API reads as files: a list of name, secret, path, items. */}}
{{- define "kubently.api.secretVolumes" -}}
{{- $pair := list (dict "key" "tls.crt" "path" "tls.crt") (dict "key" "tls.key" "path" "tls.key") -}}
{{- $ca := list (dict "key" "ca.crt" "path" "ca.crt") -}}
{{- $found := list -}}
{{- if include "kubently.tls.endToEnd" . -}}
{{- $found = append $found (dict "name" "tls" "secret" (include "kubently.tls.podSecret" .) "path" "/etc/kubently/tls" "items" $pair) -}}
{{- end -}}
{{- with .Values.api.enrolment.caSecret -}}
{{- $found = append $found (dict "name" "executor-ca" "secret" . "path" "/etc/kubently/executor-ca" "items" $pair) -}}
{{- end -}}
{{- if and (ne .Values.tls.clientAuth.mode "none") .Values.tls.clientAuth.caSecret -}}
{{- $found = append $found (dict "name" "client-ca" "secret" .Values.tls.clientAuth.caSecret "path" "/etc/kubently/client-ca" "items" $ca) -}}
{{- end -}}
{{- if ne (include "kubently.store" .) "sqlite" -}}
{{- with .Values.api.peers.caSecret -}}
{{- $found = append $found (dict "name" "peers" "secret" . "path" "/etc/kubently/peers" "items" $pair) -}}
{{- end -}}
{{- end -}}
{{- if and (include "kubently.hasRedis" .) .Values.redis.auth.enabled -}}
{{- $items := list (dict "key" (include "kubently.redis.key" .) "path" "password") -}}
{{- $found = append $found (dict "name" "redis" "secret" (include "kubently.redis.secret" .) "path" "/etc/kubently/redis" "items" $items) -}}
{{- end -}}
{{- if eq (include "kubently.store" .) "external" -}}
{{- with .Values.externalRedis -}}
{{- if .existingSecret -}}
{{- $items := list (dict "key" .existingSecretKey "path" "password") -}}
{{- $found = append $found (dict "name" "redis" "secret" .existingSecret "path" "/etc/kubently/redis" "items" $items) -}}
{{- end -}}
{{- with .tls.caSecret -}}
{{- $found = append $found (dict "name" "redis-ca" "secret" . "path" "/etc/kubently/redis-ca" "items" $ca) -}}
{{- end -}}
{{- with .tls.clientSecret -}}
{{- $found = append $found (dict "name" "redis-client" "secret" . "path" "/etc/kubently/redis-client" "items" $pair) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.api.continuous.webhookSecret -}}
{{- $found = append $found (dict "name" "webhook" "secret" . "path" "/etc/kubently/webhook" "items" (list (dict "key" "secret" "path" "secret"))) -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}
