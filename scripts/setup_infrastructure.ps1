<#
.SYNOPSIS
Brings up the servers Phoenix 95 stands on: RabbitMQ, Redis, PostgreSQL.
.DESCRIPTION
Gets or builds the images, starts only the servers, and waits until docker calls each of them healthy. The services are
started by start_dev, start_prod or start_ha afterwards, which also do this by themselves.
Exit codes: 0 healthy, 1 not started or not healthy in time, 2 something needed is missing.
.PARAMETER Kind
Which compose files to use: base, dev, prod or ha.
.PARAMETER TimeoutSeconds
How long to wait until the servers are healthy, in seconds.
.PARAMETER SkipPull
Use the images that are there and do not ask the registry.
.EXAMPLE
./scripts/setup_infrastructure.ps1 -Kind prod
#>
[CmdletBinding()]
param(
    [ValidateSet('base', 'dev', 'prod', 'ha')][string]$Kind = 'base',
    [ValidateRange(10, 3600)][int]$TimeoutSeconds = 180,
    [switch]$SkipPull
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'Phoenix95.psm1') -Force

$servers = @('rabbitmq', 'redis', 'postgres')
if (-not (Test-Prerequisite -Kind $Kind)) { exit $ExitUsage }
if (-not $SkipPull) {
    Invoke-Compose -Kind $Kind -Arguments (@('pull', '--ignore-buildable') + $servers)
    if ($LASTEXITCODE -ne 0) {
        Write-Bad 'the images could not be fetched' 'Check the network, or use -SkipPull with the images that are there.'
        exit $ExitFailed
    }
}
Invoke-Compose -Kind $Kind -Arguments (@('up', '--detach') + $servers)
if ($LASTEXITCODE -ne 0) {
    Write-Bad 'the servers did not start' 'docker compose logs rabbitmq redis postgres says why.'
    exit $ExitFailed
}
$watch = [System.Diagnostics.Stopwatch]::StartNew()
do {
    $waiting = @()
    foreach ($server in $servers) {
        $state = @(Get-ComposeOutput -Kind $Kind -Arguments @('ps', '--format', '{{.Health}}', $server))
        if ($state.Count -eq 0 -or $state[0] -ne 'healthy') { $waiting += $server }
    }
    if ($waiting.Count -eq 0) {
        Write-Good ('{0} are healthy after {1:n0} s' -f ($servers -join ', '), $watch.Elapsed.TotalSeconds)
        exit $ExitOk
    }
    Start-Sleep -Seconds 2
} while ($watch.Elapsed.TotalSeconds -lt $TimeoutSeconds)
Write-Bad "not healthy after $TimeoutSeconds s: $($waiting -join ', ')" 'docker compose logs says why.'
exit $ExitFailed
