using System.Buffers.Binary;

namespace StreamService.Qemu.Nbd;

/// <summary>
/// The one loop that reads replies: simple ones and structured ones, chunk by chunk (proto.md, "Structured reply
/// message"), in whatever order the server answers. All it holds against the request before it believes it.
/// </summary>
/// <param name="input">The stream after the handshake.</param>
/// <param name="slots">All slots; the low 16 bits of a cookie are the index.</param>
/// <param name="export">What the handshake told.</param>
/// <param name="contexts">Name of each granted metadata context by its id.</param>
/// <param name="onReply">Called with the slot once its whole reply was taken, before its caller goes on.</param>
internal sealed class NbdReplyReader(
    NbdStreamReader input,
    NbdRequestSlot[] slots,
    NbdExportInfo export,
    IReadOnlyDictionary<uint, string> contexts,
    Action<NbdRequestSlot> onReply)
{
    /// <summary>A read may name several errors; with this cap no reply is without end.</summary>
    private const int MaxErrorChunks = 64;

    private const int ErrorFieldsLength = sizeof(uint) + sizeof(ushort);

    /// <summary>Reads replies until the link breaks.</summary>
    /// <exception cref="NbdException">The link broke, or the server violated the protocol.</exception>
    public async Task RunAsync()
    {
        while (true)
        {
            await EnsureAsync(sizeof(uint), "a reply");
            uint magic = input.TakeUInt32();
            switch (magic)
            {
                case NbdWire.SimpleReplyMagic:
                    await EnsureAsync(NbdWire.SimpleReplyLength - sizeof(uint), "a simple reply");
                    TakeSimpleReply();
                    break;
                case NbdWire.StructuredReplyMagic:
                    await ReadChunkAsync();
                    break;
                default:
                    throw NbdException.Violation($"a reply starts with 0x{magic:x8}, which is no magic of a reply");
            }
        }
    }

    private void TakeSimpleReply()
    {
        uint error = input.TakeUInt32();
        NbdRequestSlot slot = Find(input.TakeUInt64());
        if (slot.Refusal is not null || slot.HasChunks)
        {
            throw NbdException.Violation("a simple reply follows chunks of a structured one");
        }

        if (error != 0)
        {
            slot.Refusal = Refusal(slot, error, null);
        }
        else if (slot.Command is NbdCommand.Read or NbdCommand.BlockStatus)
        {
            throw NbdException.Violation($"a simple reply to {slot.CommandName}, which asks for a structured one");
        }

        slot.Complete(onReply);
    }

    private async ValueTask ReadChunkAsync()
    {
        await EnsureAsync(NbdWire.ChunkHeaderLength - sizeof(uint), "the header of a chunk");
        bool done = (input.TakeUInt16() & NbdWire.ChunkFlagDone) != 0;
        var type = (NbdChunk)input.TakeUInt16();
        NbdRequestSlot slot = Find(input.TakeUInt64());
        uint length = input.TakeUInt32();
        slot.HasChunks = true;

        switch (type)
        {
            case NbdChunk.None:
                if (!done || length != 0)
                {
                    throw NbdException.Violation($"an empty chunk of {length} bytes, {(done ? "" : "not ")}marked as the last");
                }

                break;
            case NbdChunk.OffsetData when slot.Command == NbdCommand.Read:
                await ReadDataAsync(slot, length);
                break;
            case NbdChunk.OffsetHole when slot.Command == NbdCommand.Read:
                await ReadHoleAsync(slot, length);
                break;
            case NbdChunk.BlockStatus when slot.Command == NbdCommand.BlockStatus:
                await ReadBlockStatusAsync(slot, length);
                break;
            case var _ when ((ushort)type & NbdWire.ChunkErrorBit) != 0:
                await ReadErrorAsync(slot, type, length);
                break;
            default:
                throw NbdException.Violation($"a chunk of type {(ushort)type} in the reply to {slot.CommandName}");
        }

        if (done)
        {
            Finish(slot);
        }
    }

    private void Finish(NbdRequestSlot slot)
    {
        if (slot.Refusal is null)
        {
            if (slot.Coverage?.IsComplete(slot.Length) == false)
            {
                throw NbdException.Violation("the reply to a read ends before all of its bytes came");
            }

            if (slot.Status is { } status && status.Count != contexts.Count)
            {
                throw NbdException.Violation($"a block status of {status.Count} metadata contexts where {contexts.Count} were granted");
            }
        }

        slot.Complete(onReply);
    }

    private async ValueTask ReadDataAsync(NbdRequestSlot slot, uint length)
    {
        if (length <= sizeof(ulong) || length - sizeof(ulong) > slot.Length)
        {
            throw NbdException.Violation($"a data chunk of {length} bytes in the reply to a read of {slot.Length} bytes");
        }

        await EnsureAsync(sizeof(ulong), "a data chunk");
        int remaining = (int)length - sizeof(ulong);
        int position = PositionInRead(slot, input.TakeUInt64(), (uint)remaining);

        // Goes through the buffer, as the caller may take the destination back at any moment.
        while (remaining > 0)
        {
            await EnsureAsync(1, "the data of a chunk");
            int piece = Math.Min(remaining, input.Buffered);
            slot.Deliver(position, input.Take(piece));
            position += piece;
            remaining -= piece;
        }
    }

    private async ValueTask ReadHoleAsync(NbdRequestSlot slot, uint length)
    {
        const int HoleLength = sizeof(ulong) + sizeof(uint);
        if (length != HoleLength)
        {
            throw NbdException.Violation($"a hole chunk of {length} bytes");
        }

        await EnsureAsync(HoleLength, "a hole chunk");
        ulong offset = input.TakeUInt64();
        uint size = input.TakeUInt32();
        int position = PositionInRead(slot, offset, size);
        slot.DeliverZeros(position, (int)size);
    }

    private static int PositionInRead(NbdRequestSlot slot, ulong offset, uint length)
    {
        var start = (ulong)slot.Offset;
        if (length == 0 || length > slot.Length || offset < start || offset - start > (ulong)slot.Length - length)
        {
            throw NbdException.Violation(
                $"a chunk of {length} bytes at {offset} in the reply to a read of {slot.Length} bytes at {slot.Offset}");
        }

        var position = (int)(offset - start);
        if (!slot.Coverage!.TryAdd(position, (int)length))
        {
            throw NbdException.Violation("the chunks of a read overlap or are too many");
        }

        return position;
    }

    private async ValueTask ReadBlockStatusAsync(NbdRequestSlot slot, uint length)
    {
        const int DescriptorLength = 2 * sizeof(uint);
        if (length > NbdWire.MaxBlockStatusLength
            || length < sizeof(uint) + DescriptorLength
            || (length - sizeof(uint)) % DescriptorLength != 0)
        {
            throw NbdException.Violation($"a block status chunk of {length} bytes");
        }

        await EnsureAsync(sizeof(uint), "a block status chunk");
        uint id = input.TakeUInt32();
        if (!contexts.TryGetValue(id, out string? name))
        {
            throw NbdException.Violation($"a block status of metadata context {id}, which was not granted");
        }

        var extents = new List<NbdExtent>();
        if (!slot.Status!.TryAdd(name, extents))
        {
            throw NbdException.Violation($"two block status chunks of {name} in one reply");
        }

        long offset = slot.Offset;
        long end = slot.Offset + slot.Length;
        for (var remaining = (int)length - sizeof(uint); remaining > 0; remaining -= DescriptorLength)
        {
            await EnsureAsync(DescriptorLength, "a block status descriptor");
            uint extentLength = input.TakeUInt32();
            uint flags = input.TakeUInt32();
            if (extentLength == 0)
            {
                throw NbdException.Violation($"a block status extent of zero length in {name} at {offset}");
            }

            if (offset >= end)
            {
                throw NbdException.Violation($"a block status extent in {name} at {offset}, beyond what was asked");
            }

            if (extentLength > export.Size - offset)
            {
                throw NbdException.Violation($"a block status extent of {extentLength} bytes in {name} at {offset}, beyond the export's end");
            }

            // The last descriptor may reach past the range asked about (proto.md, NBD_REPLY_TYPE_BLOCK_STATUS).
            extents.Add(new NbdExtent(offset, Math.Min(extentLength, end - offset), flags));
            offset += extentLength;
        }
    }

    private async ValueTask ReadErrorAsync(NbdRequestSlot slot, NbdChunk type, uint length)
    {
        int trailer = type == NbdChunk.ErrorOffset ? sizeof(ulong) : 0;
        if (length < ErrorFieldsLength + trailer || length > ErrorFieldsLength + NbdWire.MaxStringLength + sizeof(ulong))
        {
            throw NbdException.Violation($"an error chunk of {length} bytes");
        }

        await EnsureAsync((int)length, "an error chunk");
        ReadOnlySpan<byte> payload = input.Take((int)length);
        uint error = BinaryPrimitives.ReadUInt32BigEndian(payload);
        int messageLength = BinaryPrimitives.ReadUInt16BigEndian(payload[sizeof(uint)..]);
        ReadOnlySpan<byte> rest = payload[ErrorFieldsLength..];

        // Error types that we do not know may carry more after the message; the known two have an exact length.
        bool exact = type is NbdChunk.Error or NbdChunk.ErrorOffset;
        if (messageLength > rest.Length - trailer || (exact && messageLength != rest.Length - trailer))
        {
            throw NbdException.Violation($"an error chunk of {length} bytes says that its message has {messageLength}");
        }

        if (error == 0)
        {
            throw NbdException.Violation("an error chunk without an error");
        }

        if (++slot.ErrorChunks > MaxErrorChunks)
        {
            throw NbdException.Violation($"more than {MaxErrorChunks} error chunks in one reply");
        }

        string message = NbdWire.DecodeText(rest[..messageLength], "the message of an error chunk");
        slot.Refusal ??= Refusal(slot, error, message.Length == 0 ? null : message);
    }

    private NbdRequestSlot Find(ulong cookie)
    {
        var index = (int)(cookie & 0xffff);
        return index < slots.Length && slots[index].Awaits(cookie)
            ? slots[index]
            : throw NbdException.Violation($"a reply to cookie 0x{cookie:x}, which no request in flight has");
    }

    private static NbdCommandException Refusal(NbdRequestSlot slot, uint error, string? serverMessage)
    {
        // Numbers past int.MaxValue come out negative; there are no such errors.
        var code = (NbdError)(int)error;
        string range = slot.Command == NbdCommand.Flush ? "" : $" of {slot.Length} bytes at {slot.Offset}";
        string text = serverMessage is null ? "" : $": {serverMessage}";
        return new NbdCommandException(code, serverMessage, $"The NBD server refused {slot.CommandName}{range} with {code}{text}.");
    }

    private ValueTask EnsureAsync(int count, string what) => input.EnsureAsync(count, what, CancellationToken.None);
}
