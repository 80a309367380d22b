using StreamService.Qemu.Disks;
using StreamService.Qemu.Nbd;
using StreamService.Tests.Nbd;

namespace StreamService.Tests.Disks;

public sealed class AllocationMapTests : NbdTest
{
    private const int Unit = 512;

    [Fact]
    public void Sums_searches_and_block_map_of_a_known_disk()
    {
        var map = new AllocationMap(0,
        [
            new(0, 100, 1, false),
            new(100, 50, 2, false),
            new(150, 50, 2, true),
            new(200, 100, 0, true),
            new(300, 100, 3, false),
        ]);

        Assert.Equal((0, 400, 100, 150), (map.Offset, map.Length, map.PopulatedBytes, map.RemainingBytes()));
        Assert.Equal([new(100, 50, 2, false), new(300, 100, 3, false)], map.Remaining());
        Assert.Equal([new(100, 50, 2, false)], map.Remaining(baseDepth: 3));
        Assert.Empty(map.Remaining(baseDepth: 2));
        Assert.Equal([new(150, 50, 2, true)], map.RemainingHoles());
        Assert.Equal([1, 0.5, 1, 0], map.PopulatedFractions(4));
        Assert.Equal([1, 0.5, 1, 1], map.PopulatedFractions(4, baseDepth: 3));
        Assert.Equal([100, 100, 149, 300, 399, null], new long[] { 0, 100, 149, 150, 399, 400 }.Select(offset => map.NextRemaining(offset)));
        Assert.Null(map.NextRemaining(150, baseDepth: 3));
    }

    [Fact]
    public void Equal_neighbours_are_merged()
    {
        var map = new AllocationMap(512, [new(512, 1, 2, false), new(513, 1, 2, false), new(514, 1, 2, true), new(515, 1, 3, true)]);

        Assert.Equal([new(512, 2, 2, false), new(514, 1, 2, true), new(515, 1, 3, true)], map.Extents);
    }

    [Fact]
    public void Gaps_overlaps_and_empty_extents_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new AllocationMap(0, [new(1, 1, 1, false)]));
        Assert.Throws<ArgumentException>(() => new AllocationMap(0, [new(0, 2, 1, false), new(1, 1, 1, false)]));
        Assert.Throws<ArgumentException>(() => new AllocationMap(0, [new(0, 0, 1, false)]));
    }

    [Fact]
    public void An_empty_map_has_nothing_left()
    {
        var map = new AllocationMap(0, []);

        Assert.Equal((0, 0), (map.PopulatedBytes, map.RemainingBytes()));
        Assert.Null(map.NextRemaining(0));
        Assert.Equal([1, 1], map.PopulatedFractions(2));
        Assert.Throws<ArgumentOutOfRangeException>(() => map.PopulatedFractions(0));
    }

    [Fact]
    public void Buckets_of_the_largest_disk_do_not_overflow()
    {
        var map = new AllocationMap(0, [new(0, long.MaxValue / 2, 1, false), new(long.MaxValue / 2, (long.MaxValue / 2) + 1, 2, false)]);

        double[] fractions = map.PopulatedFractions(1000);
        Assert.Equal(1, fractions[499]);
        Assert.Equal(0, fractions[500], 1e-9);
    }

    [Fact]
    public void All_members_agree_with_a_byte_by_byte_model()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            Model model = Model.Random(random);
            AllocationMap map = model.ToMap();
            int baseDepth = random.Next(3) == 0 ? int.MaxValue : random.Next(0, 5);
            string because = $"seed {seed}";

            Assert.True(model.Length == map.Length, because);
            AssertWellFormed(map, because);
            Assert.True(map.PopulatedBytes == model.Count(b => b.Depth == 1), because);
            Assert.True(map.RemainingBytes(baseDepth) == model.Count(b => Remains(b, baseDepth)), because);
            Assert.Equal(model.Where(b => Remains(b, baseDepth)), Bytes(map.Remaining(baseDepth)));
            Assert.Equal(model.Where(b => b.Depth >= 2 && b.Depth < baseDepth && b.IsZero), Bytes(map.RemainingHoles(baseDepth)));
            for (long offset = model.Offset; offset <= model.End; offset++)
            {
                Assert.True(map.NextRemaining(offset, baseDepth) == model.Next(offset, b => Remains(b, baseDepth)), because);
            }

            int buckets = random.Next(1, model.Length + 5);
            double[] fractions = map.PopulatedFractions(buckets, baseDepth);
            Assert.Equal(model.Fractions(buckets, b => !Remains(b, baseDepth)), fractions, (a, b) => Math.Abs(a - b) < 1e-9);
        }
    }

    [Fact]
    public async Task A_map_read_over_the_wire_is_the_servers_however_it_is_cut()
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            Model model = Model.Random(random);
            await using var server = new FakeNbdServer(connection => ServeAsync(connection, model, random));
            await using (NbdClient client = await ConnectAsync(server))
            {
                AllocationMap map = await Soon(AllocationMap.ReadAsync(client, model.Offset * Unit, model.Length * Unit, Token));
                Assert.Equal((model.Offset * Unit, model.Length * Unit), (map.Offset, map.Length));
                Assert.Equal(
                    model.ToMap().Extents,
                    map.Extents.Select(e => e with { Offset = e.Offset / Unit, Length = e.Length / Unit }));
            }

            await Soon(server.Script);
        }
    }

    [Fact]
    public async Task A_disk_larger_than_a_request_is_asked_about_in_pieces()
    {
        const long Size = 5L << 30;
        var asked = new List<(long Offset, int Length)>();
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync(new FakeNbdExport { Size = (ulong)Size });
            while (await connection.ReceiveRequestAsync() is { Type: 7 } request)
            {
                asked.Add((request.Offset, request.Length));
                await connection.SendAsync(
                    Wire.Extents(request.Cookie, 7, false, ((uint)request.Length, 0)), Wire.Extents(request.Cookie, 9, true, ((uint)request.Length, 2)));
            }
        });
        await using NbdClient client = await ConnectAsync(server);
        AllocationMap map = await Soon(AllocationMap.ReadAsync(client, 0, Size, Token));

        Assert.Equal([new(0, Size, 2, false)], map.Extents);
        Assert.Equal([(0, 0x7fff0000), (0x7fff0000, 0x7fff0000), (0xfffe0000, (int)(Size - 0xfffe0000))], asked);
        Assert.Empty((await AllocationMap.ReadAsync(client, Size, 0, Token)).Extents);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => AllocationMap.ReadAsync(client, 1, Size, Token));
    }

    [Fact]
    public async Task An_export_without_allocation_depth_is_named()
    {
        await using var server = new FakeNbdServer(async connection =>
        {
            await connection.HandshakeAsync(new FakeNbdExport { Contexts = new Dictionary<uint, string> { [1] = "base:allocation" } });
            await connection.DrainAsync();
        });
        await using NbdClient client = await ConnectAsync(server);

        NbdException missing = await Assert.ThrowsAsync<NbdException>(() => AllocationMap.ReadAsync(client, 0, 512, Token));
        Assert.Contains("qemu:allocation-depth", missing.Message, StringComparison.Ordinal);
    }

    private static bool Remains(Block block, int baseDepth) => block.Depth >= 2 && block.Depth < baseDepth && !block.IsZero;

    private static IEnumerable<Block> Bytes(IEnumerable<AllocationExtent> extents) =>
        extents.SelectMany(e => Enumerable.Range(0, (int)e.Length).Select(i => new Block(e.Offset + i, e.Depth, e.IsZero)));

    private static void AssertWellFormed(AllocationMap map, string because)
    {
        long next = map.Offset;
        for (var i = 0; i < map.Extents.Count; i++)
        {
            AllocationExtent extent = map.Extents[i];
            Assert.True(extent.Offset == next && extent.Length > 0, because);
            Assert.False(i > 0 && (map.Extents[i - 1].Depth, map.Extents[i - 1].IsZero) == (extent.Depth, extent.IsZero), because);
            next = extent.End;
        }

        Assert.True(next == map.Offset + map.Length, because);
    }

    /// <summary>Answers about the model's blocks, of <see cref="Unit"/> bytes each, stopping wherever it likes in each context.</summary>
    private static async Task ServeAsync(FakeNbdConnection connection, Model model, Random random)
    {
        await connection.HandshakeAsync(new FakeNbdExport { Size = (ulong)(model.End * Unit) });
        while (await connection.ReceiveRequestAsync() is { Type: 7 } request)
        {
            (uint, uint)[] SomeExtents(Func<Block, uint> flags) =>
            [
                .. model.From(request.Offset / Unit)
                    .Take(random.Next(1, (request.Length / Unit) + 1))
                    .Chunk(random.Next(1, 4))
                    .SelectMany(chunk => chunk.Select(flags).Distinct().Count() == 1
                        ? [((uint)(chunk.Length * Unit), flags(chunk[0]))]
                        : chunk.Select(b => ((uint)Unit, flags(b)))),
            ];

            await connection.SendAsync(
                Wire.Extents(request.Cookie, 9, false, SomeExtents(b => (uint)b.Depth)),
                Wire.Extents(request.Cookie, 7, true, SomeExtents(b => b.IsZero ? 3u : 0u)));
        }
    }

    private sealed record Block(long Offset, int Depth, bool IsZero);

    /// <summary>A disk as a list of its blocks.</summary>
    private sealed class Model(long offset, List<Block> blocks)
    {
        public long Offset => offset;

        public int Length => blocks.Count;

        public long End => offset + Length;

        public static Model Random(Random random)
        {
            long offset = random.Next(50);
            var blocks = new List<Block>();
            int length = random.Next(1, 120);
            while (blocks.Count < length)
            {
                (int run, int depth, bool zero) = (random.Next(1, 12), random.Next(5), random.Next(3) == 0);
                for (; run > 0 && blocks.Count < length; run--)
                {
                    blocks.Add(new Block(offset + blocks.Count, depth, zero));
                }
            }

            return new Model(offset, blocks);
        }

        public AllocationMap ToMap() => new(offset, blocks.Select(b => new AllocationExtent(b.Offset, 1, b.Depth, b.IsZero)));

        public int Count(Func<Block, bool> predicate) => blocks.Count(predicate);

        public IEnumerable<Block> Where(Func<Block, bool> predicate) => blocks.Where(predicate);

        public IEnumerable<Block> From(long first) => blocks.Skip((int)(first - offset));

        public long? Next(long first, Func<Block, bool> predicate) => From(first).FirstOrDefault(predicate)?.Offset;

        public IEnumerable<double> Fractions(int buckets, Func<Block, bool> predicate) => Enumerable.Range(0, buckets).Select(i =>
        {
            Block[] bucket = [.. blocks.Take((int)((long)Length * (i + 1) / buckets)).Skip((int)((long)Length * i / buckets))];
            return bucket.Length == 0 ? 1 : (double)bucket.Count(predicate) / bucket.Length;
        });
    }
}
