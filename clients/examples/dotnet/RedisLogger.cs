// IRedisLogger for .NET 8, with the package StackExchange.Redis. Register it once:
//     services.AddSingleton<IRedisLogger>(_ => new RedisLogger("worker"));
// Logging__RedisConnection, Logging__StreamName and Logging__MaxStreamLength say where to. A call puts the line into a
// bounded channel and returns; one task sends batches. While Redis is away the oldest lines are dropped, and counted.
using System.IO.Compression;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

public interface IRedisLogger
{
    Task LogAsync(LogLevel level, string title, string message, string? source = null,
                  Dictionary<string, object>? metadata = null);
    Task InfoAsync(string title, string message, Dictionary<string, object>? metadata = null);
    Task ErrorAsync(string title, string message, Exception? ex = null, Dictionary<string, object>? metadata = null);
}

public sealed class RedisLogger : IRedisLogger, IAsyncDisposable
{
    private const int Batch = 500;
    private readonly string _source;
    private readonly string _stream = Environment.GetEnvironmentVariable("Logging__StreamName") ?? "pharos:logs";
    private readonly int? _maxLength = int.TryParse(
        Environment.GetEnvironmentVariable("Logging__MaxStreamLength"), out var length) ? length : 1_000_000;
    private readonly Channel<byte[]> _lines;
    private readonly Task _sender;
    private long _dropped;

    public RedisLogger(string source)
    {
        _source = source;
        _lines = Channel.CreateBounded<byte[]>(
            new BoundedChannelOptions(10_000) { FullMode = BoundedChannelFullMode.DropOldest },
            _ => Interlocked.Increment(ref _dropped));
        _sender = Task.Run(SendAsync);
    }

    public Task InfoAsync(string title, string message, Dictionary<string, object>? metadata = null) =>
        LogAsync(LogLevel.Information, title, message, null, metadata);

    public Task ErrorAsync(string title, string message, Exception? ex = null,
                           Dictionary<string, object>? metadata = null) =>
        Put(LogLevel.Error, title, message, null, metadata, ex);

    public Task LogAsync(LogLevel level, string title, string message, string? source = null,
                         Dictionary<string, object>? metadata = null) =>
        Put(level, title, message, source, metadata, null);

    private Task Put(LogLevel level, string title, string message, string? source,
                     Dictionary<string, object>? metadata, Exception? ex)
    {
        try
        {
            _lines.Writer.TryWrite(JsonSerializer.SerializeToUtf8Bytes(new
            {
                timestamp = DateTimeOffset.UtcNow,
                level = level.ToString(),
                source = source ?? _source,
                title,
                message,
                trace_id = System.Diagnostics.Activity.Current?.TraceId.ToString(),
                metadata,
                error = ex is null ? null : new { name = ex.GetType().Name, message = ex.Message, stack = ex.ToString() },
            }));
        }
        catch (Exception wrong)  // metadata that can't be serialised
        {
            Console.Error.WriteLine($"[{level}] {title}: {message} (not sent: {wrong.Message})");
        }
        return Task.CompletedTask;
    }

    private async Task SendAsync()
    {
        ConnectionMultiplexer? redis = null;
        var batch = new List<byte[]>(Batch);
        while (batch.Count > 0 || await _lines.Reader.WaitToReadAsync())
        {
            await Task.Delay(100);
            while (batch.Count < Batch && _lines.Reader.TryRead(out var line)) batch.Add(line);
            if (Interlocked.Exchange(ref _dropped, 0) is var dropped and > 0)
                batch.Add(JsonSerializer.SerializeToUtf8Bytes(
                    new { level = "warn", source = _source, message = $"{dropped} lines were dropped" }));
            try
            {
                redis ??= await ConnectionMultiplexer.ConnectAsync(
                    Environment.GetEnvironmentVariable("Logging__RedisConnection") ?? "localhost:6390");
                await redis.GetDatabase().StreamAddAsync(
                    _stream, "lines", Packed(batch), maxLength: _maxLength, useApproximateMaxLength: true);
                batch.Clear();
            }
            catch (Exception ex)  // Redis is away: the batch is sent again
            {
                Console.Error.WriteLine($"[RedisLogger] {ex.Message}");
                if (_lines.Reader.Completion.IsCompleted) return;
                await Task.Delay(1_000);
            }
        }
    }

    private static byte[] Packed(List<byte[]> lines)
    {
        using var memory = new MemoryStream();
        using (var gzip = new GZipStream(memory, CompressionLevel.Fastest))
            foreach (var line in lines) { gzip.Write(line); gzip.WriteByte((byte)'\n'); }
        return memory.ToArray();
    }

    public async ValueTask DisposeAsync()
    {
        _lines.Writer.TryComplete();
        await Task.WhenAny(_sender, Task.Delay(2_000));
    }
}
