using StreamService.Hypervisors;
using StreamService.Storage;
using StreamService.Telemetry;

namespace StreamService.Streaming;

/// <summary>A job's record in the database: the states that it enters, and how far it is. For the task that owns the job.</summary>
internal sealed class JobRecord(StreamStore store, HostTerm term, TimeProvider time, ILogger logger)
{
    /// <summary>While the database is away, so many of the last states are kept for it.</summary>
    private const int MostUnrecorded = 100;

    /// <summary>How often progress that no state change carries is put on record.</summary>
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(1);

    private readonly List<StreamStatus> _entered = [];
    private long _writtenAt;
    private bool _isWritten = true;

    /// <summary>Whether progress is to be put on record again.</summary>
    public bool IsDue => time.GetElapsedTime(_writtenAt) >= Every;

    /// <summary>Puts a new state on record.</summary>
    public async Task EnterAsync(StreamStatus entered)
    {
        if (_entered.Count == MostUnrecorded)
            _entered.RemoveAt(0);
        _entered.Add(entered);
        await WriteAsync(entered);
        // Where replicas share the records, an end that is not among them would have another one begin anew.
        if (entered.IsFinal && term.Epoch > 0)
            await CatchUpAsync(entered, term.Ending);
    }

    /// <summary>Writes the record if the database takes it.</summary>
    public async Task WriteAsync(StreamStatus status)
    {
        _writtenAt = time.GetTimestamp();
        try
        {
            await store.UpdateAsync([.. _entered], status, term.Epoch, CancellationToken.None);
            _entered.Clear();
            _isWritten = true;
        }
        catch (LeaseLostException lost)
        {
            StreamLog.RecordFailed(logger, lost.Message);
            term.Lose();
        }
        catch (Exception exception)
        {
            // The image itself holds the progress: a database that is away must not stop a stream.
            StreamLog.RecordFailed(logger, exception.GetBaseException().Message);
            StreamMeters.RecordFailed();
            _isWritten = false;
        }
    }

    /// <summary>Returns when the record is written, however long the database is away.</summary>
    public async Task CatchUpAsync(StreamStatus status, CancellationToken stopping)
    {
        while (!_isWritten)
        {
            await Task.Delay(Every, time, stopping);
            await WriteAsync(status);
        }
    }
}
