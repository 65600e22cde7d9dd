{{/* Names, labels and images. */}}

{{- define "kubently.base" -}}
{{- $name := default "kubently" .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "kubently.api" -}}{{ include "kubently.base" . }}-api{{- end -}}
{{- define "kubently.executor" -}}{{ include "kubently.base" . }}-executor{{- end -}}
{{- define "kubently.redis" -}}{{ include "kubently.base" . }}-redis-master{{- end -}}

{{/* Names without a namespace carry it. */}}
{{- define "kubently.executor.clusterName" -}}
{{- printf "%s-%s" (include "kubently.executor" .) .Release.Namespace | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "kubently.api.serviceAccount" -}}
{{- default (ternary (include "kubently.api" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}
{{- define "kubently.executor.serviceAccount" -}}
{{- with .Values.executor.serviceAccount -}}
{{- default (ternary (include "kubently.executor" $) "default" .create) .name -}}
{{- end -}}
{{- end -}}

{{/* (list $ "api"): what selects the pods of a component, and never changes. */}}
{{- define "kubently.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: kubently
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* (list $ "api") or (list $ ""): labels of an object. */}}
{{- define "kubently.labels" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: kubently
app.kubernetes.io/instance: {{ $.Release.Name }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/part-of: kubently
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- with $.Values.global.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (list $ name component labels annotations): metadata of an object in the release's namespace. */}}
{{- define "kubently.metadata" -}}
{{- $ := index . 0 -}}
{{- $annotations := mergeOverwrite (deepCopy $.Values.global.commonAnnotations) (index . 4) -}}
name: {{ index . 1 }}
namespace: {{ $.Release.Namespace }}
labels:
  {{- mergeOverwrite (include "kubently.labels" (list $ (index . 2)) | fromYaml) (index . 3) | toYaml | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (list $ image): its reference. */}}
{{- define "kubently.image" -}}
{{- $ := index . 0 -}}
{{- $image := index . 1 -}}
{{- $repository := $image.repository -}}
{{- with $.Values.global.imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^[^/]*[.:][^/]*/" $image.repository "") -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default $.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}
