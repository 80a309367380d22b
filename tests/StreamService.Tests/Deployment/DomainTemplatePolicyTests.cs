using StreamService.Deployment;

namespace StreamService.Tests.Deployment;

public sealed class DomainTemplatePolicyTests
{
    private static readonly DomainParameters Parameters = new(
        "web-1", Guid.Parse("837f7d0d-4f64-4887-a552-c10ca7cc19ab"), 768, 2, "kvm", "central/debian-12", "/overlays/web-1.qcow2", "qcow2", CopyOnRead: true);

    [Theory]
    // Elements that are none of a caller's business.
    [InlineData("<seclabel type='none'/>", "seclabel")]
    [InlineData("<launchSecurity type='sev'/>", "launchSecurity")]
    [InlineData("<keywrap/>", "keywrap")]
    [InlineData("<idmap/>", "idmap")]
    [InlineData("<perf/>", "perf")]
    [InlineData("<bootloader>/bin/sh</bootloader>", "bootloader")]
    [InlineData("<resource><partition>/machine/other</partition></resource>", "resource")]
    [InlineData("<throttlegroups/>", "throttlegroups")]
    [InlineData("<blkiotune><device><path>/dev/sda</path></device></blkiotune>", "blkiotune/device")]
    [InlineData("<cputune><vcpusched vcpus='0' scheduler='fifo' priority='99'/></cputune>", "cputune/vcpusched")]
    [InlineData("<cpu><numa><cell id='0' memory='900' unit='GiB'/></numa></cpu>", "cpu/numa")]
    [InlineData("<memoryBacking><source type='file'/><access mode='shared'/><path>/x</path></memoryBacking>", "memoryBacking/path")]
    [InlineData("<memoryBacking><source type='file' path='/etc'/></memoryBacking>", "memoryBacking/source/@path")]
    [InlineData("<on_crash>coredump-restart</on_crash>", "on_crash")]
    [InlineData("<sysinfo type='fwcfg'><entry name='opt/a' file='/etc/shadow'/></sysinfo>", "sysinfo/entry/@file")]
    // Namespaces.
    [InlineData("<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-S'/></q:commandline>", "q:commandline")]
    [InlineData("<commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'/>", "commandline")]
    [InlineData("<metadata xmlns='urn:x'><a/></metadata>", "metadata")]
    [InlineData("<os><q:kernel xmlns:q='urn:x'>/etc/shadow</q:kernel></os>", "os/q:kernel")]
    [InlineData("<x:include xmlns:x='http://www.w3.org/2001/XInclude' href='/etc/passwd' parse='text'/>", "x:include")]
    [InlineData("<title xml:base='/etc'/>", "title/@base")]
    [InlineData("<os xmlns:q='urn:x' q:firmware='efi'/>", "os/@firmware")]
    // Files of the boot.
    [InlineData("<os><kernel>/etc/shadow</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>/allowed/../etc/shadow</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>/allowed/./k</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>//allowed/k</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>/allowed</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>/allowed/</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>/allowed-not/k</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>/ALLOWED/k</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel> /etc/shadow</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>etc/shadow</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>/dev/urandom</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel/></os>", "os/kernel")]
    [InlineData("<os><kernel>/allowed/a&#10;b</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>/etc<!-- -->/shadow</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel><![CDATA[/etc]]>/shadow</kernel></os>", "os/kernel")]
    [InlineData("<os><kernel>/allowed/<b>/../etc/shadow</b></kernel></os>", "os/kernel/b")]
    [InlineData("<os><kernel>/allowed/k</kernel><kernel>/etc/shadow</kernel></os>", "os/kernel[2]")]
    [InlineData("<os/><os><kernel>/etc/shadow</kernel></os>", "os[2]/kernel")]
    [InlineData("<os><initrd>/root/.ssh/id_ed25519</initrd></os>", "os/initrd")]
    [InlineData("<os><dtb>/etc/shadow</dtb></os>", "os/dtb")]
    [InlineData("<os><acpi><table type='slic'>/etc/shadow</table></acpi></os>", "os/acpi/table")]
    [InlineData("<os><loader readonly='yes'>/etc/shadow</loader></os>", "os/loader")]
    [InlineData("<os><loader readonly='no' type='pflash'>/allowed/code.fd</loader></os>", "os/loader/@readonly")]
    [InlineData("<os><loader type='pflash'>/allowed/code.fd</loader></os>", "os/loader/@readonly")]
    [InlineData("<os><nvram>/allowed/base.raw</nvram></os>", "os/nvram")]
    [InlineData("<os><nvram>vars.fd</nvram></os>", "os/nvram")]
    [InlineData("<os><nvram template='/etc/shadow'/></os>", "os/nvram/@template")]
    [InlineData("<os><nvram type='block'><source dev='/dev/sda'/></nvram></os>", "os/nvram/@type", "os/nvram/source")]
    [InlineData("<os><init>/bin/sh</init></os>", "os/init")]
    // A path where none is expected.
    [InlineData("<genid>/etc</genid>", "genid")]
    [InlineData("<clock offset='/etc/x'/>", "clock/@offset")]
    [InlineData("<features><hyperv><a file='x'/></hyperv></features>", "features/hyperv/a/@file")]
    [InlineData("<pm> &#x2003;/etc</pm>", "pm")]
    // A placeholder is judged by what comes out of it.
    [InlineData("<os><kernel>{image}</kernel></os>", "os/kernel")]
    public void A_caller_may_not_have_what_the_host_has(string content, params string[] places)
    {
        AssertRefused($"<domain>{content}</domain>", places);
    }

    [Theory]
    // Disks.
    [InlineData("<disk type='file'><source file='/etc/shadow'/><readonly/></disk>", "disk/source/@file")]
    [InlineData("<disk type='file'><source file='/allowed/a.raw'/></disk>", "disk")]
    [InlineData("<disk/><disk type='file'><source file='/dev/sda'/><readonly/></disk>", "disk[2]/source/@file")]
    [InlineData("<disk type='file'><source file='base.raw'/><readonly/></disk>", "disk/source/@file")]
    [InlineData("<disk type='file'><source file='json:{}'/><readonly/></disk>", "disk/source/@file")]
    [InlineData("<disk type='file'><source file='/allowed/a' startupPolicy='optional'/><readonly/></disk>", "disk/source/@startupPolicy")]
    [InlineData("<disk type='file'><source file='/allowed/a' fdgroup='g'/><readonly/></disk>", "disk/source/@fdgroup")]
    [InlineData("<disk type='file'><source file='/allowed/a'><seclabel model='dac' relabel='no'/></source><readonly/></disk>", "disk/source/seclabel")]
    [InlineData("<disk type='file'><source file='/allowed/a'><encryption/></source><readonly/></disk>", "disk/source/encryption")]
    [InlineData("<disk type='file'><source/><readonly/></disk>", "disk/source/@file")]
    [InlineData("<disk type='block'><source dev='/dev/sda'/><readonly/></disk>", "disk/@type", "disk/source/@dev", "disk/source/@file")]
    [InlineData("<disk type='network'><source protocol='nbd' name='x'><host name='10.0.0.1'/></source><readonly/></disk>", "disk/@type", "disk/source/@protocol", "disk/source/host")]
    [InlineData("<disk type='volume'><source pool='p' volume='v'/><readonly/></disk>", "disk/@type", "disk/source/@pool")]
    [InlineData("<disk type='dir'><source dir='/etc'/><readonly/></disk>", "disk/@type", "disk/source/@dir")]
    [InlineData("<disk type='nvme'><source type='pci'/><readonly/></disk>", "disk/@type", "disk/source/@type")]
    [InlineData("<disk type='vhostuser'><source type='unix' path='/run/s'/></disk>", "disk/@type", "disk/source/@path")]
    [InlineData("<disk type='vhostvdpa'/>", "disk/@type")]
    [InlineData("<disk device='lun' rawio='yes' sgio='unfiltered'/>", "disk/@device", "disk/@rawio", "disk/@sgio")]
    [InlineData("<disk><mirror type='file' file='/etc/x'/></disk>", "disk/mirror")]
    [InlineData("<disk><backingStore type='block'><source dev='/dev/sda'/></backingStore></disk>", "disk/backingStore")]
    [InlineData("<disk type='file'><source file='/allowed/a'/><backingStore type='file'><source file='/etc/shadow'/></backingStore><readonly/></disk>", "disk/backingStore")]
    [InlineData("<disk><driver name='tap'/></disk>", "disk/driver/@name")]
    [InlineData("<disk><driver type='vvfat'/></disk>", "disk/driver/@type")]
    [InlineData("<disk><auth username='a'><secret type='ceph' uuid='u'/></auth></disk>", "disk/auth")]
    [InlineData("<disk><encryption format='luks'/></disk>", "disk/encryption")]
    [InlineData("<disk><transient/></disk>", "disk/transient")]
    [InlineData("<disk><shareable/></disk>", "disk/shareable")]
    // Devices of the host, and programs.
    [InlineData("<emulator>/allowed/sh</emulator>", "emulator")]
    [InlineData("<hostdev mode='subsystem' type='pci' managed='yes'/>", "hostdev")]
    [InlineData("<hostdev mode='capabilities' type='storage'><source><block>/dev/sda</block></source></hostdev>", "hostdev")]
    [InlineData("<filesystem type='mount'><source dir='/'/><target dir='host'/></filesystem>", "filesystem")]
    [InlineData("<shmem name='other'/>", "shmem")]
    [InlineData("<memory model='nvdimm'><source><path>/dev/sda</path></source></memory>", "memory")]
    [InlineData("<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>", "tpm")]
    [InlineData("<smartcard mode='host'/>", "smartcard")]
    [InlineData("<redirdev bus='usb' type='tcp'/>", "redirdev")]
    [InlineData("<crypto model='virtio'/>", "crypto")]
    [InlineData("<nvram/>", "nvram")]
    [InlineData("<lease/>", "lease")]
    [InlineData("<input type='evdev'><source dev='/dev/input/event0'/></input>", "input/@type", "input/source")]
    [InlineData("<input type='passthrough' bus='virtio'/>", "input/@type")]
    [InlineData("<rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='/run/s'/></backend></rng>", "rng/backend/@model", "rng/backend/@type", "rng/backend/source")]
    [InlineData("<rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>", "rng/backend")]
    [InlineData("<rng model='virtio'><backend model='random'>/dev/urandom/../sda</backend></rng>", "rng/backend")]
    [InlineData("<audio id='1' type='file' path='/etc/x'/>", "audio/@type", "audio/@path")]
    [InlineData("<video><driver name='vhostuser'/></video>", "video/driver")]
    [InlineData("<video><model type='virtio'><acceleration accel3d='yes' rendernode='/dev/dri/card0'/></model></video>", "video/model/acceleration")]
    [InlineData("<watchdog model='i6300esb' action='dump'/>", "watchdog/@action")]
    [InlineData("<controller type='scsi'><rom file='/etc/shadow'/></controller>", "controller/rom/@file")]
    [InlineData("<iommu model='intel'><driver path='x'/></iommu>", "iommu/driver/@path")]
    // Networks.
    [InlineData("<interface type='ethernet'><script path='/bin/sh'/></interface>", "interface/@type", "interface/script")]
    [InlineData("<interface type='network'><source network='default'/><script path='/allowed/a.sh'/></interface>", "interface/script")]
    [InlineData("<interface type='bridge'><source bridge='br0'/><backend tap='/dev/net/tun' vhost='/dev/vhost-net'/></interface>", "interface/backend")]
    [InlineData("<interface type='direct'><source dev='eth0' mode='passthrough'/></interface>", "interface/@type", "interface/source/@dev")]
    [InlineData("<interface type='hostdev'/>", "interface/@type")]
    [InlineData("<interface type='user'/>", "interface/@type")]
    [InlineData("<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>", "interface/@type", "interface/source/@dev")]
    [InlineData("<interface type='vhostuser'><source type='unix' path='/run/s' mode='client'/></interface>", "interface/@type", "interface/source/@path")]
    [InlineData("<interface type='network'><source network='n'/><vlan><tag id='7'/></vlan></interface>", "interface/vlan")]
    [InlineData("<interface type='bridge'><source bridge='b'/><target dev='vnet0'/></interface>", "interface/target")]
    [InlineData("<interface type='network' trustGuestRxFilters='yes'/>", "interface/@trustGuestRxFilters")]
    [InlineData("<interface/>", "interface/@type")]
    // Character devices.
    [InlineData("<serial type='dev'><source path='/dev/ttyS0'/></serial>", "serial/@type", "serial/source/@path")]
    [InlineData("<serial type='pipe'><source path='/allowed/p.log'/></serial>", "serial/@type")]
    [InlineData("<serial type='tcp'><source mode='connect' host='10.0.0.1' service='22'/></serial>", "serial/@type", "serial/source/@host")]
    [InlineData("<console type='stdio'/>", "console/@type")]
    [InlineData("<parallel type='udp'/>", "parallel/@type")]
    [InlineData("<serial/>", "serial/@type")]
    [InlineData("<serial type='file'><source path='/etc/cron.d/x'/></serial>", "serial/source/@path")]
    [InlineData("<serial type='file'><source path='/allowed/base.raw'/></serial>", "serial/source/@path")]
    [InlineData("<serial type='pty'><log file='/etc/cron.d/x' append='on'/></serial>", "serial/log/@file")]
    [InlineData("<serial type='pty'><log file='/allowed/base.raw'/></serial>", "serial/log/@file")]
    [InlineData("<serial type='pty'/><serial type='pty'><log file='/allowed/../x.log'/></serial>", "serial[2]/log/@file")]
    [InlineData("<channel type='unix'><source mode='connect' path='/run/libvirt/libvirt-sock'/><target type='virtio'/></channel>", "channel/source/@path")]
    [InlineData("<channel type='unix'><source mode='bind' path='/allowed/base.raw'/></channel>", "channel/source/@path")]
    [InlineData("<channel type='unix'><source mode='bind' path='a.sock'/></channel>", "channel/source/@path")]
    [InlineData("<channel type='dbus'/>", "channel/@type")]
    // Graphics.
    [InlineData("<graphics type='vnc' socket='/run/s'/>", "graphics/@socket")]
    [InlineData("<graphics type='vnc'><listen type='socket' socket='/allowed/a.sock'/></graphics>", "graphics/listen/@type", "graphics/listen/@socket")]
    [InlineData("<graphics type='vnc' keymap='../etc/passwd'/>", "graphics/@keymap")]
    [InlineData("<graphics type='sdl' display=':0' xauth='/root/.Xauthority'/>", "graphics/@type", "graphics/@display", "graphics/@xauth")]
    [InlineData("<graphics type='egl-headless'><gl rendernode='/dev/dri/card0'/></graphics>", "graphics/@type", "graphics/gl")]
    [InlineData("<graphics type='spice'><gl enable='yes'/></graphics>", "graphics/gl")]
    [InlineData("<graphics type='{name}'/>", "graphics/@type")]
    public void A_caller_may_not_have_the_hosts_devices(string devices, params string[] places)
    {
        AssertRefused($"<domain><devices>{devices}</devices></domain>", [.. places.Select(place => "devices/" + place)]);
        // A second element "devices" counts as much as the first.
        AssertRefused($"<domain><devices/><devices>{devices}</devices></domain>", [.. places.Select(place => "devices[2]/" + place)]);
    }

    [Theory]
    [InlineData("<domain/>")]
    [InlineData("<domain type='qemu' id='3'><name>/</name><uuid>x</uuid><memory unit='KiB'>1</memory><vcpu placement='static'>1</vcpu></domain>")]
    [InlineData("<domain><title>/etc</title><description>/etc</description><metadata><a xmlns='urn:a' path='/etc'><b>/etc</b></a></metadata></domain>")]
    [InlineData("<domain xmlns:l='urn:l'><metadata><l:a l:b='/c'/></metadata></domain>")]
    [InlineData("<domain><os><type arch='x86_64' machine='q35'>hvm</type><kernel>/allowed/vmlinuz</kernel><initrd>/also/there/{name}.img</initrd><cmdline>/sbin/init root=/dev/vda {a}</cmdline></os></domain>")]
    [InlineData("<domain><os firmware='efi'><firmware><feature enabled='yes' name='secure-boot'/></firmware><boot dev='hd'/><bootmenu enable='no'/></os></domain>")]
    [InlineData("<domain><os><loader readonly='yes' type='pflash'>/allowed/code.fd</loader><nvram template='/allowed/vars.fd'/></os></domain>")]
    [InlineData("<domain><features><acpi/><kvm><hidden state='on'/></kvm></features><cpu mode='host-model'><topology sockets='1' cores='2' threads='1'/><feature policy='require' name='vmx'/></cpu></domain>")]
    [InlineData("<domain><clock offset='utc'><timer name='rtc' tickpolicy='catchup'/></clock><pm><suspend-to-mem enabled='no'/></pm><on_crash>destroy</on_crash></domain>")]
    [InlineData("<domain><memoryBacking><hugepages><page size='2' unit='M'/></hugepages><locked/><source type='memfd'/></memoryBacking><iothreads>2</iothreads><cputune><shares>512</shares></cputune></domain>")]
    [InlineData("<domain><sysinfo type='smbios'><system><entry name='product'>{name}</entry></system></sysinfo><os><smbios mode='sysinfo'/></os></domain>")]
    public void A_caller_may_describe_the_machine(string template)
    {
        Build(template);
    }

    [Theory]
    [InlineData("<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' io='native' iothread='1'/><target dev='vda' bus='virtio'/><boot order='1'/><iotune><total_iops_sec>9</total_iops_sec></iotune></disk>")]
    [InlineData("<disk device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk><disk device='floppy'><target dev='fda'/></disk>")]
    [InlineData("<disk type='file' device='cdrom'><source file='/allowed/seed {name}.iso'/><target dev='sda' bus='sata'/><readonly/></disk>")]
    [InlineData("<disk type='file'><driver name='qemu' type='raw'/><source file='/also/there/data.raw'/><target dev='vdb'/><readonly/></disk>")]
    [InlineData("<controller type='pci' index='1' model='pcie-root-port'><target chassis='1' port='0x10'/><address type='pci' bus='0x00'/></controller>")]
    [InlineData("<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/><model type='virtio'/><filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.1'/></filterref><alias name='ua-net'/></interface>")]
    [InlineData("<interface type='bridge'><source bridge='br0'/><driver name='vhost' queues='2'><host tso4='off'/></driver><bandwidth><inbound average='1'/></bandwidth></interface>")]
    [InlineData("<serial type='pty'><target type='isa-serial' port='0'><model name='isa-serial'/></target><log file='/allowed/{name}.log' append='off'/></serial><console type='pty'><target type='serial' port='0'/></console>")]
    [InlineData("<serial type='file'><source path='/allowed/{name}.log' append='on'/></serial><parallel type='null'/>")]
    [InlineData("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel><channel type='unix'><source mode='bind' path='/allowed/a.sock'/><target type='virtio' name='a'/></channel>")]
    [InlineData("<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel><channel type='qemu-vdagent'><source><clipboard copypaste='yes'/><mouse mode='client'/></source></channel>")]
    [InlineData("<graphics type='vnc' port='-1' autoport='yes' passwd='/s3cret' keymap='en-us'><listen type='address' address='127.0.0.1'/></graphics><graphics type='spice'><listen type='none'/><image compression='off'/></graphics>")]
    [InlineData("<video><model type='virtio' heads='1' primary='yes'/></video><input type='tablet' bus='usb'/><sound model='ich9'/><audio id='1' type='none'/>")]
    [InlineData("<rng model='virtio'><rate bytes='1024'/><backend model='random'>/dev/urandom</backend></rng><rng model='virtio'><backend model='builtin'/></rng>")]
    [InlineData("<memballoon model='virtio'><stats period='5'/></memballoon><watchdog model='itco' action='reset'/><panic model='isa'/><hub type='usb'/><vsock model='virtio'><cid auto='yes'/></vsock><iommu model='intel'><driver intremap='on'/></iommu>")]
    public void A_caller_may_have_the_guests_devices(string devices)
    {
        Build($"<domain><devices>{devices}</devices></domain>");
    }

    [Fact]
    public void The_built_in_template_would_be_allowed_to_a_caller()
    {
        using var resource = new StreamReader(typeof(DomainTemplate).Assembly.GetManifestResourceStream("DomainTemplate.xml")!);

        Build(resource.ReadToEnd());
    }

    [Fact]
    public void Without_allowed_folders_no_file_can_be_named()
    {
        Assert.Throws<InvalidTemplateException>(() => DomainTemplate.Build("<domain><os><kernel>/allowed/k</kernel></os></domain>", TemplateOrigin.Caller, Parameters, []));
    }

    [Fact]
    public void Every_fault_is_told_but_not_a_hundred_thousand()
    {
        Assert.Equal(
            [
                "perf is not allowed.",
                "devices/emulator is not allowed.",
                "devices/serial[2]/@type is 'dev', not pty, null, spicevmc, file, unix, qemu-vdagent.",
                "os/kernel is '/etc/shadow', which is no plain path below an allowed folder.",
                "2 disks have no source; it must be one at most, the system disk.",
            ],
            Faults("<domain><perf/><devices><emulator/><serial type='pty'/><serial type='dev'/><disk/><disk/></devices><os><kernel>/etc/shadow</kernel></os></domain>"));
        Assert.Equal(100, Faults($"<domain>{string.Concat(Enumerable.Repeat("<x/>", 200_000))}</domain>").Count);
        Assert.InRange(Assert.Single(Faults($"<domain><{new string('x', 500_000)}/></domain>")).Length, 100, 200);
    }

    private static void Build(string template) => DomainTemplate.Build(template, TemplateOrigin.Caller, Parameters, ["/allowed", "/also/there/"]);

    private static IReadOnlyList<string> Faults(string template) => Assert.Throws<InvalidTemplateException>(() => Build(template)).Faults;

    private static void AssertRefused(string template, string[] places)
    {
        var faults = Faults(template);
        Assert.All(places, place => Assert.Contains(faults, fault => fault.StartsWith(place + " ", StringComparison.Ordinal)));
    }
}
