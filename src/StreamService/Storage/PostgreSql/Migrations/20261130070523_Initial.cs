using System;
using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql.EntityFrameworkCore.PostgreSQL.Metadata;

#nullable disable

namespace StreamService.Storage.PostgreSql.Migrations
{
    /// <inheritdoc />
    public partial class Initial : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "Budgets",
                columns: table => new
                {
                    Name = table.Column<string>(type: "text", nullable: false),
                    Scope = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    Match = table.Column<string>(type: "text", nullable: true),
                    BytesPerSecond = table.Column<long>(type: "bigint", nullable: false),
                    Windows = table.Column<string>(type: "text", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_Budgets", x => x.Name);
                });

            migrationBuilder.CreateTable(
                name: "DataProtectionKeys",
                columns: table => new
                {
                    Id = table.Column<int>(type: "integer", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    FriendlyName = table.Column<string>(type: "text", nullable: true),
                    Xml = table.Column<string>(type: "text", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_DataProtectionKeys", x => x.Id);
                });

            migrationBuilder.CreateTable(
                name: "Deployments",
                columns: table => new
                {
                    Domain = table.Column<Guid>(type: "uuid", nullable: false),
                    Name = table.Column<string>(type: "text", nullable: false),
                    Host = table.Column<string>(type: "text", nullable: false),
                    Image = table.Column<string>(type: "text", nullable: false),
                    ImageSource = table.Column<string>(type: "text", nullable: false),
                    ImageFingerprint = table.Column<string>(type: "text", nullable: false),
                    Overlay = table.Column<string>(type: "text", nullable: false),
                    Target = table.Column<string>(type: "text", nullable: false),
                    Size = table.Column<long>(type: "bigint", nullable: false),
                    CreatedAt = table.Column<long>(type: "bigint", nullable: false),
                    IdempotencyKey = table.Column<string>(type: "text", nullable: true),
                    State = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_Deployments", x => x.Domain);
                });

            migrationBuilder.CreateTable(
                name: "Events",
                columns: table => new
                {
                    Sequence = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    Id = table.Column<Guid>(type: "uuid", nullable: false),
                    Kind = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    Time = table.Column<long>(type: "bigint", nullable: false),
                    Subject = table.Column<Guid>(type: "uuid", nullable: false),
                    Host = table.Column<string>(type: "text", nullable: false),
                    Destination = table.Column<string>(type: "text", nullable: true),
                    Domain = table.Column<Guid>(type: "uuid", nullable: false),
                    Target = table.Column<string>(type: "text", nullable: true),
                    Generation = table.Column<long>(type: "bigint", nullable: false),
                    State = table.Column<string>(type: "text", nullable: false),
                    Reason = table.Column<string>(type: "text", nullable: true),
                    ErrorCode = table.Column<string>(type: "text", nullable: true),
                    ErrorDetail = table.Column<string>(type: "text", nullable: true),
                    Labels = table.Column<string>(type: "text", nullable: true),
                    Picture = table.Column<string>(type: "text", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_Events", x => x.Sequence);
                });

            migrationBuilder.CreateTable(
                name: "HostLeases",
                columns: table => new
                {
                    Host = table.Column<string>(type: "text", nullable: false),
                    Epoch = table.Column<long>(type: "bigint", nullable: false),
                    Driver = table.Column<string>(type: "text", nullable: true),
                    WantedBy = table.Column<string>(type: "text", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_HostLeases", x => x.Host);
                });

            migrationBuilder.CreateTable(
                name: "IdempotencyKeys",
                columns: table => new
                {
                    Key = table.Column<string>(type: "text", nullable: false),
                    RequestHash = table.Column<string>(type: "text", nullable: false),
                    StatusCode = table.Column<int>(type: "integer", nullable: false),
                    Location = table.Column<string>(type: "text", nullable: true),
                    Body = table.Column<string>(type: "text", nullable: false),
                    CreatedAt = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_IdempotencyKeys", x => x.Key);
                });

            migrationBuilder.CreateTable(
                name: "MigrationWrites",
                columns: table => new
                {
                    MigrationId = table.Column<Guid>(type: "uuid", nullable: false),
                    Target = table.Column<string>(type: "text", nullable: false),
                    Blocks = table.Column<byte[]>(type: "bytea", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_MigrationWrites", x => new { x.MigrationId, x.Target });
                });

            migrationBuilder.CreateTable(
                name: "Migrations",
                columns: table => new
                {
                    MigrationId = table.Column<Guid>(type: "uuid", nullable: false),
                    Domain = table.Column<Guid>(type: "uuid", nullable: false),
                    DomainName = table.Column<string>(type: "text", nullable: false),
                    Source = table.Column<string>(type: "text", nullable: false),
                    Destination = table.Column<string>(type: "text", nullable: false),
                    Stream = table.Column<string>(type: "text", nullable: false),
                    Verify = table.Column<bool>(type: "boolean", nullable: false),
                    Format = table.Column<string>(type: "text", nullable: false),
                    Folder = table.Column<string>(type: "text", nullable: true),
                    Persistent = table.Column<bool>(type: "boolean", nullable: false),
                    Autostart = table.Column<bool>(type: "boolean", nullable: false),
                    Address = table.Column<string>(type: "text", nullable: false),
                    Labels = table.Column<string>(type: "text", nullable: true),
                    IdempotencyKey = table.Column<string>(type: "text", nullable: true),
                    CreatedAt = table.Column<long>(type: "bigint", nullable: false),
                    State = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    CancelRequested = table.Column<bool>(type: "boolean", nullable: false),
                    Step = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    Reason = table.Column<string>(type: "text", nullable: true),
                    ErrorCode = table.Column<string>(type: "text", nullable: true),
                    ErrorDetail = table.Column<string>(type: "text", nullable: true),
                    Memory = table.Column<string>(type: "text", nullable: true),
                    LeftOnSource = table.Column<string>(type: "text", nullable: false),
                    UpdatedAt = table.Column<long>(type: "bigint", nullable: false),
                    SwitchedAt = table.Column<long>(type: "bigint", nullable: true),
                    FinishedAt = table.Column<long>(type: "bigint", nullable: true),
                    Generation = table.Column<long>(type: "bigint", nullable: false),
                    Epoch = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_Migrations", x => x.MigrationId);
                });

            migrationBuilder.CreateTable(
                name: "Profiles",
                columns: table => new
                {
                    Source = table.Column<string>(type: "text", nullable: false),
                    Fingerprint = table.Column<string>(type: "text", nullable: false),
                    Deployments = table.Column<int>(type: "integer", nullable: false),
                    Extents = table.Column<string>(type: "text", nullable: false),
                    UpdatedAt = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_Profiles", x => x.Source);
                });

            migrationBuilder.CreateTable(
                name: "Replicas",
                columns: table => new
                {
                    Name = table.Column<string>(type: "text", nullable: false),
                    Instance = table.Column<Guid>(type: "uuid", nullable: false),
                    Url = table.Column<string>(type: "text", nullable: false),
                    Version = table.Column<string>(type: "text", nullable: false),
                    BeatAt = table.Column<long>(type: "bigint", nullable: false),
                    Hosts = table.Column<string>(type: "text", nullable: false),
                    Budgets = table.Column<string>(type: "text", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_Replicas", x => x.Name);
                });

            migrationBuilder.CreateTable(
                name: "Streams",
                columns: table => new
                {
                    StreamId = table.Column<Guid>(type: "uuid", nullable: false),
                    Host = table.Column<string>(type: "text", nullable: false),
                    Domain = table.Column<Guid>(type: "uuid", nullable: false),
                    DomainName = table.Column<string>(type: "text", nullable: false),
                    Target = table.Column<string>(type: "text", nullable: false),
                    Size = table.Column<long>(type: "bigint", nullable: false),
                    Mode = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    Base = table.Column<string>(type: "text", nullable: true),
                    OnError = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    EngineAsked = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: true),
                    Order = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    Offline = table.Column<bool>(type: "boolean", nullable: false),
                    NotBefore = table.Column<long>(type: "bigint", nullable: true),
                    CreatedAt = table.Column<long>(type: "bigint", nullable: false),
                    Labels = table.Column<string>(type: "text", nullable: true),
                    TraceParent = table.Column<string>(type: "text", nullable: true),
                    IdempotencyKey = table.Column<string>(type: "text", nullable: true),
                    Engine = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    EngineReason = table.Column<string>(type: "text", nullable: true),
                    Bandwidth = table.Column<long>(type: "bigint", nullable: false),
                    Policy = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    Priority = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    TargetLatencyMs = table.Column<double>(type: "double precision", nullable: true),
                    MinBandwidth = table.Column<long>(type: "bigint", nullable: false),
                    State = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    BytesStreamed = table.Column<long>(type: "bigint", nullable: false),
                    BytesDurable = table.Column<long>(type: "bigint", nullable: false),
                    BytesRemaining = table.Column<long>(type: "bigint", nullable: true),
                    BytesPerSecond = table.Column<long>(type: "bigint", nullable: false),
                    EtaSeconds = table.Column<long>(type: "bigint", nullable: true),
                    Reason = table.Column<string>(type: "text", nullable: true),
                    ErrorCode = table.Column<string>(type: "text", nullable: true),
                    ErrorDetail = table.Column<string>(type: "text", nullable: true),
                    Attempt = table.Column<int>(type: "integer", nullable: false),
                    LastErrorCode = table.Column<string>(type: "text", nullable: true),
                    LastErrorDetail = table.Column<string>(type: "text", nullable: true),
                    StartedAt = table.Column<long>(type: "bigint", nullable: true),
                    UpdatedAt = table.Column<long>(type: "bigint", nullable: false),
                    FinishedAt = table.Column<long>(type: "bigint", nullable: true),
                    BootReadyAt = table.Column<long>(type: "bigint", nullable: true),
                    Epoch = table.Column<long>(type: "bigint", nullable: false),
                    Generation = table.Column<long>(type: "bigint", nullable: false),
                    GenerationLimit = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_Streams", x => x.StreamId);
                });

            migrationBuilder.CreateTable(
                name: "WebhookCursors",
                columns: table => new
                {
                    Webhook = table.Column<string>(type: "text", nullable: false),
                    Sequence = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_WebhookCursors", x => x.Webhook);
                });

            migrationBuilder.CreateTable(
                name: "MigrationDisks",
                columns: table => new
                {
                    MigrationId = table.Column<Guid>(type: "uuid", nullable: false),
                    Target = table.Column<string>(type: "text", nullable: false),
                    Ordinal = table.Column<int>(type: "integer", nullable: false),
                    Size = table.Column<long>(type: "bigint", nullable: false),
                    Frozen = table.Column<string>(type: "text", nullable: false),
                    FrozenFormat = table.Column<string>(type: "text", nullable: false),
                    Backing = table.Column<string>(type: "text", nullable: false),
                    Overlay = table.Column<string>(type: "text", nullable: false),
                    Destination = table.Column<string>(type: "text", nullable: false),
                    Port = table.Column<int>(type: "integer", nullable: false),
                    Prepared = table.Column<bool>(type: "boolean", nullable: false),
                    BytesRemaining = table.Column<long>(type: "bigint", nullable: true),
                    BytesVerified = table.Column<long>(type: "bigint", nullable: true),
                    BytesOverwritten = table.Column<long>(type: "bigint", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_MigrationDisks", x => new { x.MigrationId, x.Target });
                    table.ForeignKey(
                        name: "FK_MigrationDisks_Migrations_MigrationId",
                        column: x => x.MigrationId,
                        principalTable: "Migrations",
                        principalColumn: "MigrationId",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "MigrationSteps",
                columns: table => new
                {
                    MigrationId = table.Column<Guid>(type: "uuid", nullable: false),
                    Name = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    State = table.Column<string>(type: "character varying(32)", maxLength: 32, nullable: false),
                    StartedAt = table.Column<long>(type: "bigint", nullable: true),
                    FinishedAt = table.Column<long>(type: "bigint", nullable: true),
                    Attempts = table.Column<int>(type: "integer", nullable: false),
                    Detail = table.Column<string>(type: "text", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_MigrationSteps", x => new { x.MigrationId, x.Name });
                    table.ForeignKey(
                        name: "FK_MigrationSteps_Migrations_MigrationId",
                        column: x => x.MigrationId,
                        principalTable: "Migrations",
                        principalColumn: "MigrationId",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateIndex(
                name: "IX_Deployments_IdempotencyKey",
                table: "Deployments",
                column: "IdempotencyKey");

            migrationBuilder.CreateIndex(
                name: "IX_Events_Subject_Sequence",
                table: "Events",
                columns: new[] { "Subject", "Sequence" });

            migrationBuilder.CreateIndex(
                name: "IX_Events_Time",
                table: "Events",
                column: "Time");

            migrationBuilder.CreateIndex(
                name: "IX_Migrations_CreatedAt_MigrationId",
                table: "Migrations",
                columns: new[] { "CreatedAt", "MigrationId" });

            migrationBuilder.CreateIndex(
                name: "IX_Migrations_IdempotencyKey",
                table: "Migrations",
                column: "IdempotencyKey");

            migrationBuilder.CreateIndex(
                name: "IX_Migrations_State",
                table: "Migrations",
                column: "State");

            migrationBuilder.CreateIndex(
                name: "IX_Streams_CreatedAt_StreamId",
                table: "Streams",
                columns: new[] { "CreatedAt", "StreamId" });

            migrationBuilder.CreateIndex(
                name: "IX_Streams_Domain_Target_CreatedAt",
                table: "Streams",
                columns: new[] { "Domain", "Target", "CreatedAt" });

            migrationBuilder.CreateIndex(
                name: "IX_Streams_DomainName_StreamId",
                table: "Streams",
                columns: new[] { "DomainName", "StreamId" });

            migrationBuilder.CreateIndex(
                name: "IX_Streams_FinishedAt",
                table: "Streams",
                column: "FinishedAt");

            migrationBuilder.CreateIndex(
                name: "IX_Streams_Host_StreamId",
                table: "Streams",
                columns: new[] { "Host", "StreamId" });

            migrationBuilder.CreateIndex(
                name: "IX_Streams_State_Host",
                table: "Streams",
                columns: new[] { "State", "Host" });

            migrationBuilder.CreateIndex(
                name: "IX_Streams_UpdatedAt_StreamId",
                table: "Streams",
                columns: new[] { "UpdatedAt", "StreamId" });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "Budgets");

            migrationBuilder.DropTable(
                name: "DataProtectionKeys");

            migrationBuilder.DropTable(
                name: "Deployments");

            migrationBuilder.DropTable(
                name: "Events");

            migrationBuilder.DropTable(
                name: "HostLeases");

            migrationBuilder.DropTable(
                name: "IdempotencyKeys");

            migrationBuilder.DropTable(
                name: "MigrationDisks");

            migrationBuilder.DropTable(
                name: "MigrationSteps");

            migrationBuilder.DropTable(
                name: "MigrationWrites");

            migrationBuilder.DropTable(
                name: "Profiles");

            migrationBuilder.DropTable(
                name: "Replicas");

            migrationBuilder.DropTable(
                name: "Streams");

            migrationBuilder.DropTable(
                name: "WebhookCursors");

            migrationBuilder.DropTable(
                name: "Migrations");
        }
    }
}
