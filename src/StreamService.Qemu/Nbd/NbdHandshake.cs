using System.Buffers;
using System.Buffers.Binary;
using System.Net.Security;
using System.Security.Authentication;
using System.Text;

namespace StreamService.Qemu.Nbd;

/// <summary>What the handshake agreed on, and the stream to go on with: the socket's, or TLS over it.</summary>
internal sealed record NbdSession(Stream Stream, NbdStreamReader Input, NbdExportInfo Export, IReadOnlyDictionary<uint, string> Contexts);

/// <summary>
/// The fixed newstyle negotiation (proto.md, "Fixed newstyle negotiation"): TLS where asked for, structured replies,
/// metadata contexts, then NBD_OPT_GO.
/// </summary>
internal sealed class NbdHandshake(Stream stream, string exportName, NbdClientOptions options)
{
    /// <summary>Replies to one option before its end; with this cap no negotiation is without end.</summary>
    private const int MaxReplies = 64;

    /// <summary>Our own cap on the exports that a server may list.</summary>
    private const int MaxExports = 4096;

    private Stream _stream = stream;
    private NbdStreamReader _input = new(stream);

    /// <summary>Negotiates.</summary>
    /// <exception cref="NbdException">The server refused, broke the link or violated the protocol.</exception>
    public async Task<NbdSession> RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            await GreetAsync(cancellationToken);
            if (options.TlsOptions is { } tls)
            {
                await StartTlsAsync(tls, cancellationToken);
            }

            await AskStructuredRepliesAsync(cancellationToken);
            IReadOnlyDictionary<uint, string> contexts = options.MetadataContexts.Count == 0
                ? new Dictionary<uint, string>()
                : await SetMetadataContextsAsync(cancellationToken);
            NbdExportInfo export = await GoAsync(contexts, cancellationToken);
            return new NbdSession(_stream, _input, export, contexts);
        }
        catch
        {
            await _stream.DisposeAsync();
            throw;
        }
    }

    /// <summary>Asks for the names of all exports (NBD_OPT_LIST) instead of opening one, and says goodbye.</summary>
    /// <exception cref="NbdException">The server refused, broke the link or violated the protocol.</exception>
    public async Task<IReadOnlyList<string>> ListAsync(CancellationToken cancellationToken)
    {
        try
        {
            await GreetAsync(cancellationToken);
            if (options.TlsOptions is { } tls)
            {
                await StartTlsAsync(tls, cancellationToken);
            }

            IReadOnlyList<string> names = await ReadListAsync(cancellationToken);
            try
            {
                await SendOptionAsync(NbdOption.Abort, default, cancellationToken);
            }
            catch (IOException)
            {
                // The goodbye is a courtesy.
            }

            return names;
        }
        finally
        {
            await _stream.DisposeAsync();
        }
    }

    private async Task<IReadOnlyList<string>> ReadListAsync(CancellationToken cancellationToken)
    {
        await SendOptionAsync(NbdOption.List, default, cancellationToken);
        var names = new List<string>();
        while (true)
        {
            (NbdOptionReply type, int length) = await ReadReplyHeaderAsync(NbdOption.List, cancellationToken);
            switch (type)
            {
                case NbdOptionReply.Ack when length == 0:
                    return names;
                case NbdOptionReply.Server when length >= sizeof(uint):
                    uint name = _input.TakeUInt32();
                    length -= sizeof(uint);
                    if (name > length)
                    {
                        throw NbdException.Violation($"the name of an export of {name} bytes in a reply with {length}");
                    }

                    if (names.Count == MaxExports)
                    {
                        throw NbdException.Violation("lists exports without end");
                    }

                    names.Add(NbdWire.DecodeText(_input.Take((int)name), "the name of an export"));
                    _input.Take(length - (int)name); // details "left to the implementation"
                    break;
                default:
                    throw Unexpected(NbdOption.List, "the list of its exports", type, length);
            }
        }
    }

    private async Task GreetAsync(CancellationToken cancellationToken)
    {
        await _input.EnsureAsync(NbdWire.GreetingLength, "the greeting", cancellationToken);
        ulong magic = _input.TakeUInt64();
        if (magic != NbdWire.InitialMagic)
        {
            throw NbdException.Violation($"the greeting starts with 0x{magic:x16} in place of NBDMAGIC");
        }

        magic = _input.TakeUInt64();
        ushort flags = _input.TakeUInt16();
        if (magic != NbdWire.OptionMagic || (flags & NbdWire.FlagFixedNewstyle) == 0)
        {
            throw new NbdException("The NBD server does not speak the fixed newstyle negotiation.");
        }

        var answer = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(answer, (uint)(flags & (NbdWire.FlagFixedNewstyle | NbdWire.FlagNoZeroes)));
        await _stream.WriteAsync(answer, cancellationToken);
    }

    private async Task StartTlsAsync(SslClientAuthenticationOptions tls, CancellationToken cancellationToken)
    {
        await SendOptionAsync(NbdOption.StartTls, default, cancellationToken);
        await ExpectAckAsync(NbdOption.StartTls, "TLS", cancellationToken);
        if (_input.Buffered > 0)
        {
            // Whoever sits between could otherwise put words into the mouth of the server that is yet to prove itself.
            throw NbdException.Violation("plain text follows the agreement to start TLS");
        }

        var secured = new SslStream(_stream);
        _stream = secured;
        try
        {
            await secured.AuthenticateAsClientAsync(tls, cancellationToken);
        }
        catch (AuthenticationException exception)
        {
            throw new NbdException($"TLS with the NBD server failed: {exception.Message}", exception);
        }

        _input = new NbdStreamReader(secured);
    }

    private async Task AskStructuredRepliesAsync(CancellationToken cancellationToken)
    {
        // Without them there is neither block status nor an error within a read; QEMU has had them since 2.11.
        await SendOptionAsync(NbdOption.StructuredReply, default, cancellationToken);
        await ExpectAckAsync(NbdOption.StructuredReply, "structured replies", cancellationToken);
    }

    private async Task<IReadOnlyDictionary<uint, string>> SetMetadataContextsAsync(CancellationToken cancellationToken)
    {
        var data = new ArrayBufferWriter<byte>();
        AddString(data, exportName);
        AddUInt32(data, (uint)options.MetadataContexts.Count);
        foreach (string context in options.MetadataContexts)
        {
            AddString(data, context);
        }

        await SendOptionAsync(NbdOption.SetMetaContext, data.WrittenMemory, cancellationToken);
        var granted = new Dictionary<uint, string>();
        for (var replies = 0; replies < MaxReplies; replies++)
        {
            (NbdOptionReply type, int length) = await ReadReplyHeaderAsync(NbdOption.SetMetaContext, cancellationToken);
            switch (type)
            {
                case NbdOptionReply.Ack when length == 0:
                    return granted;
                case NbdOptionReply.ErrorUnsupported:
                    _input.Take(length);
                    return granted; // a server that knows no contexts at all grants none
                case NbdOptionReply.MetaContext when length > sizeof(uint):
                    uint id = _input.TakeUInt32();
                    string name = NbdWire.DecodeText(_input.Take(length - sizeof(uint)), "the name of a metadata context");
                    if (!options.MetadataContexts.Contains(name) || granted.ContainsValue(name) || !granted.TryAdd(id, name))
                    {
                        throw NbdException.Violation($"grants metadata context {name} with id {id}, which was not asked for or is granted already");
                    }

                    break;
                default:
                    throw Unexpected(NbdOption.SetMetaContext, "metadata contexts", type, length);
            }
        }

        throw NbdException.Violation("grants metadata contexts without end");
    }

    private async Task<NbdExportInfo> GoAsync(IReadOnlyDictionary<uint, string> contexts, CancellationToken cancellationToken)
    {
        var data = new ArrayBufferWriter<byte>();
        AddString(data, exportName);
        AddUInt16(data, 1);
        AddUInt16(data, (ushort)NbdInfo.BlockSize);
        await SendOptionAsync(NbdOption.Go, data.WrittenMemory, cancellationToken);

        (ulong Size, NbdTransmissionFlags Flags)? export = null;
        (uint Minimum, uint Preferred, uint Maximum) blocks = (1, 4096, NbdWire.DefaultMaximumPayload); // proto.md, "Block size constraints"
        for (var replies = 0; replies < MaxReplies; replies++)
        {
            (NbdOptionReply type, int length) = await ReadReplyHeaderAsync(NbdOption.Go, cancellationToken);
            switch (type)
            {
                case NbdOptionReply.Ack when length == 0:
                    return CreateExportInfo(
                        export ?? throw NbdException.Violation("ends the negotiation without a word on the export"), blocks, contexts);
                case NbdOptionReply.Info when length >= sizeof(ushort):
                    var info = (NbdInfo)_input.TakeUInt16();
                    length -= sizeof(ushort);
                    if (info == NbdInfo.Export && length == sizeof(ulong) + sizeof(ushort))
                    {
                        export = (_input.TakeUInt64(), (NbdTransmissionFlags)_input.TakeUInt16());
                    }
                    else if (info == NbdInfo.BlockSize && length == 3 * sizeof(uint))
                    {
                        blocks = (_input.TakeUInt32(), _input.TakeUInt32(), _input.TakeUInt32());
                    }
                    else if (info is NbdInfo.Export or NbdInfo.BlockSize)
                    {
                        throw NbdException.Violation($"information {info} of {length} bytes");
                    }
                    else
                    {
                        _input.Take(length); // kinds that were not asked for are to be ignored
                    }

                    break;
                default:
                    throw Unexpected(NbdOption.Go, $"export \"{exportName}\"", type, length);
            }
        }

        throw NbdException.Violation("information on the export without end");
    }

    private NbdExportInfo CreateExportInfo(
        (ulong Size, NbdTransmissionFlags Flags) export,
        (uint Minimum, uint Preferred, uint Maximum) blocks,
        IReadOnlyDictionary<uint, string> contexts)
    {
        if (export.Size > long.MaxValue || !export.Flags.HasFlag(NbdTransmissionFlags.HasFlags))
        {
            throw NbdException.Violation($"an export of {export.Size} bytes with flags 0x{(ushort)export.Flags:x}");
        }

        // proto.md, "Block size constraints": powers of two, the minimum at most 64 KiB, the maximum not below the preferred.
        if (!uint.IsPow2(blocks.Minimum) || blocks.Minimum > 64 * 1024
            || !uint.IsPow2(blocks.Preferred) || blocks.Preferred < blocks.Minimum || blocks.Preferred > int.MaxValue
            || blocks.Maximum < blocks.Minimum)
        {
            throw NbdException.Violation($"block sizes {blocks.Minimum}, {blocks.Preferred}, {blocks.Maximum}");
        }

        return new NbdExportInfo
        {
            Size = (long)export.Size,
            ReadOnly = export.Flags.HasFlag(NbdTransmissionFlags.ReadOnly),
            CanCache = export.Flags.HasFlag(NbdTransmissionFlags.SendCache),
            CanFlush = export.Flags.HasFlag(NbdTransmissionFlags.SendFlush),
            CanMultiConn = export.Flags.HasFlag(NbdTransmissionFlags.CanMultiConn),
            MinimumBlockSize = (int)blocks.Minimum,
            PreferredBlockSize = (int)blocks.Preferred,
            MaximumPayload = (int)Math.Min(blocks.Maximum, int.MaxValue),
            MetadataContexts = [.. options.MetadataContexts.Where(contexts.Values.Contains).Distinct()],
        };
    }

    private async Task SendOptionAsync(NbdOption option, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        var message = new byte[NbdWire.OptionHeaderLength + data.Length];
        BinaryPrimitives.WriteUInt64BigEndian(message, NbdWire.OptionMagic);
        BinaryPrimitives.WriteUInt32BigEndian(message.AsSpan(8), (uint)option);
        BinaryPrimitives.WriteUInt32BigEndian(message.AsSpan(12), (uint)data.Length);
        data.Span.CopyTo(message.AsSpan(NbdWire.OptionHeaderLength));
        await _stream.WriteAsync(message, cancellationToken);
    }

    private async Task ExpectAckAsync(NbdOption option, string subject, CancellationToken cancellationToken)
    {
        (NbdOptionReply type, int length) = await ReadReplyHeaderAsync(option, cancellationToken);
        if (type != NbdOptionReply.Ack || length != 0)
        {
            throw Unexpected(option, subject, type, length);
        }
    }

    /// <summary>Reads the header of a reply, and waits for its payload too: it is at most a string with some numbers.</summary>
    private async Task<(NbdOptionReply Type, int Length)> ReadReplyHeaderAsync(NbdOption option, CancellationToken cancellationToken)
    {
        await _input.EnsureAsync(NbdWire.OptionReplyHeaderLength, "the reply to an option", cancellationToken);
        ulong magic = _input.TakeUInt64();
        if (magic != NbdWire.OptionReplyMagic)
        {
            throw NbdException.Violation($"the reply to an option starts with 0x{magic:x16}, which is not its magic");
        }

        var answered = (NbdOption)_input.TakeUInt32();
        if (answered != option)
        {
            throw NbdException.Violation($"a reply to option {answered} where {option} was sent");
        }

        var type = (NbdOptionReply)_input.TakeUInt32();
        uint length = _input.TakeUInt32();
        if (length > NbdWire.MaxOptionReplyLength)
        {
            throw NbdException.Violation($"a reply of {length} bytes to option {option}");
        }

        await _input.EnsureAsync((int)length, "the reply to an option", cancellationToken);
        return (type, (int)length);
    }

    private NbdException Unexpected(NbdOption option, string subject, NbdOptionReply type, int length)
    {
        if (type < NbdOptionReply.ErrorUnsupported)
        {
            return NbdException.Violation($"a reply {type} of {length} bytes to option {option}");
        }

        string text = NbdWire.DecodeText(_input.Take(length), "the message of an option reply");
        return new NbdRefusedException(
            type == NbdOptionReply.ErrorUnknownExport,
            type is NbdOptionReply.ErrorUnsupported or NbdOptionReply.ErrorPolicy,
            $"The NBD server refused {subject} with {type}{(text.Length == 0 ? "" : ": " + text)}.");
    }

    private static void AddUInt16(ArrayBufferWriter<byte> data, ushort value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(data.GetSpan(sizeof(ushort)), value);
        data.Advance(sizeof(ushort));
    }

    private static void AddUInt32(ArrayBufferWriter<byte> data, uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(data.GetSpan(sizeof(uint)), value);
        data.Advance(sizeof(uint));
    }

    private static void AddString(ArrayBufferWriter<byte> data, string text)
    {
        AddUInt32(data, (uint)Encoding.UTF8.GetByteCount(text));
        Encoding.UTF8.GetBytes(text, data);
    }
}
