<#
.SYNOPSIS
Looks at a running Phoenix 95 and says in red and green what is so and what to do.
.DESCRIPTION
Asks docker for the containers, each service whether it is ready, EXECUTE for its preflight at the exchange, RISK for the
trading state, the public port for the webhook, and the disk for room. Changes nothing. python3 scripts/phoenix.py doctor
looks deeper.
Exit codes: 0 nothing is red, 1 something is.
.PARAMETER Kind
Which start script was used: base, dev, prod or ha. Only names the containers to look at.
.PARAMETER SkipContainers
Do not ask docker: for a system that was started with ./scripts/start.sh.
.EXAMPLE
./scripts/health_check.ps1 -SkipContainers
#>
[CmdletBinding()]
param(
    [ValidateSet('base', 'dev', 'prod', 'ha')][string]$Kind = 'base',
    [switch]$SkipContainers
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'Phoenix95.psm1') -Force

$reds = 0

function Test-Container {
    # The number of containers that do not run or are not healthy.
    $bad = 0
    $lines = @(Get-ComposeOutput -Kind $Kind -Arguments @('ps', '--format', '{{.Service}} {{.State}} {{.Health}}'))
    if ($lines.Count -eq 0) {
        Write-Bad 'no container runs' './scripts/start_dev.ps1 starts Phoenix 95.'
        return 1
    }
    foreach ($line in $lines) {
        $service, $state, $health = "$line  ".Split(' ')[0..2]
        if ($state -eq 'running' -and ($health -eq 'healthy' -or $health -eq '')) {
            Write-Good "container $service $state $health"
        }
        else {
            Write-Bad "container $service $state $health" "docker compose logs $service says why."
            $bad += 1
        }
    }
    return $bad
}

function Test-Service {
    # The number of services that are not ready.
    $bad = 0
    foreach ($name in $ServiceUrls.Keys) {
        $answer = Get-PhoenixAnswer -Url "$($ServiceUrls[$name])/ready"
        if ($answer.Status -eq 200 -and $answer.Body) {
            Write-Good "$name is ready, mode $($answer.Body.mode)"
        }
        elseif ($answer.Status -eq 0) {
            Write-Bad "$name does not answer" "It is down, or port $($ServiceUrls[$name]) is not published."
            $bad += 1
        }
        else {
            Write-Bad "$name is not ready (HTTP $($answer.Status))" "GET $($ServiceUrls[$name])/ready names what it waits for."
            $bad += 1
        }
    }
    return $bad
}

function Test-Trading {
    # The number of faults of preflight, trading state and webhook.
    $bad = 0
    $preflight = Get-PhoenixAnswer -Url "$($ServiceUrls['execute'])/preflight"
    if ($preflight.Body) {
        foreach ($point in $preflight.Body.points) {
            if ($point.result -eq 'failed') {
                Write-Bad "exchange: $($point.said)" $point.advice
                $bad += 1
            }
            else { Write-Good "exchange: $($point.said)" }
        }
    }
    $risk = Get-PhoenixAnswer -Url "$($ServiceUrls['risk'])/status"
    if ($risk.Body) {
        if ($risk.Body.state -eq 'ACTIVE') { Write-Good 'trading is ACTIVE' }
        else { Write-Note "trading is $($risk.Body.state): no new entries, exits go on" }
    }
    # The webhook takes POST only: 405 shows that the way to it is open, and nothing is sent in.
    $webhook = Get-PhoenixAnswer -Url $WebhookUrl
    if ($webhook.Status -eq 405) { Write-Good "the webhook is reached at $WebhookUrl" }
    else {
        Write-Bad "the webhook answers HTTP $($webhook.Status)" 'nginx or BRAIN is away.'
        $bad += 1
    }
    return $bad
}

Write-Host 'Health of Phoenix 95'
if (-not $SkipContainers) {
    if (Test-Docker) { $reds += Test-Container } else { $reds += 1 }
}
$reds += Test-Service
$reds += Test-Trading
if (-not (Test-DiskSpace)) { $reds += 1 }
Write-Host ''
if ($reds -gt 0) {
    Write-Host "$reds red" -ForegroundColor Red
    exit $ExitFailed
}
Write-Host 'nothing is red' -ForegroundColor Green
exit $ExitOk
