using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace StreamService.Storage.Sqlite.Migrations
{
    /// <inheritdoc />
    public partial class OperationsAndFleet : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_Streams_Host_Domain_Target_CreatedAt",
                table: "Streams");

            migrationBuilder.DropIndex(
                name: "IX_Streams_State",
                table: "Streams");

            migrationBuilder.AddColumn<long>(
                name: "BytesPerSecond",
                table: "Streams",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.AddColumn<long>(
                name: "Epoch",
                table: "Streams",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.AddColumn<long>(
                name: "EtaSeconds",
                table: "Streams",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<long>(
                name: "Generation",
                table: "Streams",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.AddColumn<string>(
                name: "TraceParent",
                table: "Streams",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<long>(
                name: "Epoch",
                table: "Migrations",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.CreateTable(
                name: "Events",
                columns: table => new
                {
                    Sequence = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    Id = table.Column<Guid>(type: "TEXT", nullable: false),
                    Kind = table.Column<string>(type: "TEXT", maxLength: 32, nullable: false),
                    Time = table.Column<long>(type: "INTEGER", nullable: false),
                    Subject = table.Column<Guid>(type: "TEXT", nullable: false),
                    Host = table.Column<string>(type: "TEXT", nullable: false),
                    Destination = table.Column<string>(type: "TEXT", nullable: true),
                    Domain = table.Column<Guid>(type: "TEXT", nullable: false),
                    Target = table.Column<string>(type: "TEXT", nullable: true),
                    Generation = table.Column<long>(type: "INTEGER", nullable: false),
                    State = table.Column<string>(type: "TEXT", nullable: false),
                    Reason = table.Column<string>(type: "TEXT", nullable: true),
                    ErrorCode = table.Column<string>(type: "TEXT", nullable: true),
                    ErrorDetail = table.Column<string>(type: "TEXT", nullable: true),
                    Labels = table.Column<string>(type: "TEXT", nullable: true),
                    Picture = table.Column<string>(type: "TEXT", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_Events", x => x.Sequence);
                });

            migrationBuilder.CreateTable(
                name: "HostLeases",
                columns: table => new
                {
                    Host = table.Column<string>(type: "TEXT", nullable: false),
                    Epoch = table.Column<long>(type: "INTEGER", nullable: false),
                    Driver = table.Column<string>(type: "TEXT", nullable: true),
                    WantedBy = table.Column<string>(type: "TEXT", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_HostLeases", x => x.Host);
                });

            migrationBuilder.CreateTable(
                name: "Replicas",
                columns: table => new
                {
                    Name = table.Column<string>(type: "TEXT", nullable: false),
                    Instance = table.Column<Guid>(type: "TEXT", nullable: false),
                    Url = table.Column<string>(type: "TEXT", nullable: false),
                    Version = table.Column<string>(type: "TEXT", nullable: false),
                    BeatAt = table.Column<long>(type: "INTEGER", nullable: false),
                    Hosts = table.Column<string>(type: "TEXT", nullable: false),
                    Budgets = table.Column<string>(type: "TEXT", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_Replicas", x => x.Name);
                });

            migrationBuilder.CreateTable(
                name: "WebhookCursors",
                columns: table => new
                {
                    Webhook = table.Column<string>(type: "TEXT", nullable: false),
                    Sequence = table.Column<long>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_WebhookCursors", x => x.Webhook);
                });

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

            migrationBuilder.CreateIndex(
                name: "IX_Events_Subject_Sequence",
                table: "Events",
                columns: new[] { "Subject", "Sequence" });

            migrationBuilder.CreateIndex(
                name: "IX_Events_Time",
                table: "Events",
                column: "Time");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "Events");

            migrationBuilder.DropTable(
                name: "HostLeases");

            migrationBuilder.DropTable(
                name: "Replicas");

            migrationBuilder.DropTable(
                name: "WebhookCursors");

            migrationBuilder.DropIndex(
                name: "IX_Streams_Domain_Target_CreatedAt",
                table: "Streams");

            migrationBuilder.DropIndex(
                name: "IX_Streams_DomainName_StreamId",
                table: "Streams");

            migrationBuilder.DropIndex(
                name: "IX_Streams_FinishedAt",
                table: "Streams");

            migrationBuilder.DropIndex(
                name: "IX_Streams_Host_StreamId",
                table: "Streams");

            migrationBuilder.DropIndex(
                name: "IX_Streams_State_Host",
                table: "Streams");

            migrationBuilder.DropIndex(
                name: "IX_Streams_UpdatedAt_StreamId",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "BytesPerSecond",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "Epoch",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "EtaSeconds",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "Generation",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "TraceParent",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "Epoch",
                table: "Migrations");

            migrationBuilder.CreateIndex(
                name: "IX_Streams_Host_Domain_Target_CreatedAt",
                table: "Streams",
                columns: new[] { "Host", "Domain", "Target", "CreatedAt" });

            migrationBuilder.CreateIndex(
                name: "IX_Streams_State",
                table: "Streams",
                column: "State");
        }
    }
}
