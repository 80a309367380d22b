using System.Text;

namespace StreamService.Tests.Fuzzing;

/// <summary>Changes what a peer says in one step of a conversation.</summary>
internal static class Mutator
{
    /// <summary>Every second begins with a valid conversation, so that there is something to break.</summary>
    public static Conversation Make(IReadOnlyList<Conversation> corpus, Random random)
    {
        var valid = corpus.Where(conversation => conversation.IsValid).ToList();
        var from = random.Next(2) == 0 ? Pick(valid, random) : Pick(corpus, random);
        var step = random.Next(from.Steps.Count);
        var other = Pick(Pick(corpus, random).Steps, random).Send;
        return from.With(step, Mutate(from.Steps[step].Send, other, random));
    }

    private static byte[] Mutate(byte[] message, byte[] other, Random random)
    {
        List<byte> bytes = [.. message];
        for (var count = random.Next(1, 4); count > 0; count--)
        {
            if (bytes.Count == 0)
                bytes.Add((byte)random.Next(256));
            var at = random.Next(bytes.Count);
            var length = Math.Min(random.Next(1, 40), bytes.Count - at);
            switch (random.Next(12))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = Pick<byte>([0, 0xff, (byte)random.Next(256)], random);
                    break;
                case 2:
                    bytes.RemoveRange(at, length);
                    break;
                case 3:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
                case 4:
                    bytes.InsertRange(at, bytes.GetRange(at, length));
                    break;
                case 5:
                    bytes.InsertRange(at, [.. bytes]);
                    break;
                case 6: // a length, perhaps: four bytes as large as they get
                    for (var i = at; i < Math.Min(at + 4, bytes.Count); i++)
                        bytes[i] = i == at ? (byte)0x7f : (byte)0xff;
                    break;
                case 7: // depth, digits, an endless line
                    bytes.InsertRange(at, Encoding.ASCII.GetBytes(new string(Pick<char>(['[', '9', '{', ' '], random), random.Next(1, 12_000))));
                    break;
                case 8: // half a character, escaped or not
                    bytes.InsertRange(at, random.Next(2) == 0 ? "\\ud800"u8.ToArray() : [0xed, 0xa0, 0x80]);
                    break;
                case 9: // what another conversation says
                    bytes.InsertRange(at, other);
                    break;
                case 10:
                    bytes.RemoveRange(at, bytes.Count - at);
                    bytes.AddRange(other);
                    break;
                default: // cut off, but for the end of the line
                    bytes.RemoveRange(at, bytes.Count - at);
                    bytes.Add((byte)'\n');
                    break;
            }
        }
        return [.. bytes];
    }

    private static T Pick<T>(IReadOnlyList<T> from, Random random) => from[random.Next(from.Count)];
}
