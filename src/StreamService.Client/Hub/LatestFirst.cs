using System.Threading.Channels;

namespace StreamService.Client;

/// <summary>
/// Pictures on their way to whoever reads them: none older than one that was read already, every change of state, and of progress that
/// was not read yet the latest, so that a slow reader holds up nothing and fills no memory.
/// </summary>
internal sealed class LatestFirst<T>
    where T : class
{
    /// <summary>So many that are over are remembered, for a message about one that comes late.</summary>
    private const int Remembered = 4096;

    private readonly Lock _lock = new();
    private readonly Channel<Entry> _entries = Channel.CreateUnbounded<Entry>();
    private readonly Dictionary<Guid, Entry> _unread = [];
    private readonly Dictionary<Guid, long> _generations = [];
    private readonly Queue<Guid> _over = new();

    private sealed class Entry(Guid id, Picture picture)
    {
        public Guid Id { get; } = id;

        public Picture Picture { get; set; } = picture;
    }

    /// <param name="Passing">It may be skipped where a later one is there.</param>
    public readonly record struct Picture(T Value, StreamUpdateKind Kind, long Generation, bool Over, bool Passing);

    public void Add(Guid id, Picture picture)
    {
        lock (_lock)
        {
            if (picture.Passing && _unread.TryGetValue(id, out var unread))
            {
                unread.Picture = picture;
                return;
            }
            var entry = new Entry(id, picture);
            // What passed before a change of state keeps its place.
            if (picture.Passing)
                _unread[id] = entry;
            else
                _unread.Remove(id);
            _entries.Writer.TryWrite(entry);
        }
    }

    /// <summary>Notes a picture that its reader was given another way.</summary>
    public bool TryRead(Guid id, Picture picture)
    {
        lock (_lock)
            return Accept(id, picture);
    }

    public async IAsyncEnumerable<Picture> ReadAllAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var entry in _entries.Reader.ReadAllAsync(cancellationToken))
        {
            bool isNews;
            lock (_lock)
            {
                if (_unread.TryGetValue(entry.Id, out var unread) && unread == entry)
                    _unread.Remove(entry.Id);
                isNews = Accept(entry.Id, entry.Picture);
            }
            if (isNews)
                yield return entry.Picture;
        }
    }

    /// <summary>Nothing follows; what was not read yet still can be.</summary>
    /// <param name="error">Thrown at the reader then; null for none.</param>
    public void Complete(Exception? error) => _entries.Writer.TryComplete(error);

    private bool Accept(Guid id, Picture picture)
    {
        if (_generations.TryGetValue(id, out var known) && known >= picture.Generation)
            return false;
        if (picture.Over && !_over.Contains(id))
        {
            _over.Enqueue(id);
            if (_over.Count > Remembered)
                _generations.Remove(_over.Dequeue());
        }
        _generations[id] = picture.Generation;
        return true;
    }
}
