// Drives a monitor with random stalls and prints what it saw, for tests/hls/test_monitor.py to judge:
//   in CYCLE | out CYCLE LAST | read CYCLE ADDRESS DATA RESPONSE | writes COUNT | jump BATCH AMOUNT | done | error TEXT
`timescale 1ns / 1ps
module bench;
    localparam BATCHES = 3;
    reg clock = 0, resetn = 0;
    integer cycle = 0, seed, mode;  // mode 0: batch after batch; 1: the input never waits; 2: output before the input has ended
    integer ins = 0, outs = 0, writes = 0, batch, i;
    reg finished = 0;
    always #5 clock = ~clock;

    reg in_valid = 0, in_ready = 0, out_valid = 0, out_ready = 0;
    wire out_last = (outs + 1) % (`FRAMES * `OUT_BEATS) == 0;
    reg [11:0] awaddr = 0, araddr = 0;
    reg awvalid = 0, wvalid = 0, bready = 0, arvalid = 0, rready = 0;
    wire awready, wready, bvalid, arready, rvalid;
    wire [1:0] bresp, rresp;
    wire [31:0] rdata;
    `DUT dut (
        .aclk(clock), .aresetn(resetn), .mon_in_tvalid(in_valid), .mon_in_tready(in_ready), .mon_out_tvalid(out_valid),
        .mon_out_tready(out_ready), .mon_out_tlast(out_last), .s_axi_control_awaddr(awaddr), .s_axi_control_awvalid(awvalid),
        .s_axi_control_awready(awready), .s_axi_control_wdata(32'hffffffff), .s_axi_control_wstrb(4'hf),
        .s_axi_control_wvalid(wvalid), .s_axi_control_wready(wready), .s_axi_control_bresp(bresp), .s_axi_control_bvalid(bvalid),
        .s_axi_control_bready(bready), .s_axi_control_araddr(araddr), .s_axi_control_arvalid(arvalid),
        .s_axi_control_arready(arready), .s_axi_control_rdata(rdata), .s_axi_control_rresp(rresp), .s_axi_control_rvalid(rvalid),
        .s_axi_control_rready(rready));

    function integer percent(input integer dummy);
        percent = $unsigned($random(seed)) % 100;
    endfunction

    // The streams of a kernel: what may be offered next follows from the beats so far.
    integer ins_next, outs_next, needed;
    reg may_in, may_out;
    always @(posedge clock) if (resetn) begin
        cycle <= cycle + 1;
        if (in_valid & in_ready) $display("in %0d", cycle);
        if (out_valid & out_ready) $display("out %0d %0d", cycle, out_last);
        ins_next = ins + (in_valid & in_ready);
        outs_next = outs + (out_valid & out_ready);
        ins <= ins_next;
        outs <= outs_next;
        batch = outs_next / (`FRAMES * `OUT_BEATS);
        may_in = ins_next < BATCHES * `FRAMES * `IN_BEATS && (mode == 1 || ins_next < (batch + 1) * `FRAMES * `IN_BEATS);
        needed = outs_next / `OUT_BEATS * `IN_BEATS + (mode == 2 ? 1 : `IN_BEATS);
        may_out = outs_next < BATCHES * `FRAMES * `OUT_BEATS && ins_next >= needed;
        in_valid <= (in_valid & ~in_ready) | (may_in && percent(0) < 60);
        out_valid <= (out_valid & ~out_ready) | (may_out && percent(0) < 60);
        in_ready <= percent(0) < 70;
        out_ready <= percent(0) < 70;
        if (cycle > 100000) begin
            $display("error no end");
            $finish;
        end
    end

    // Valid signals and what they carry stay until they are taken.
    reg was_valid = 0, was_bvalid = 0;
    reg [31:0] was_data = 0;
    always @(posedge clock) begin
        if (was_valid && !(rvalid && rdata === was_data)) $display("error the read answer went away");
        if (was_bvalid && !bvalid) $display("error the write answer went away");
        if (^{awready, wready, bvalid, arready, rvalid} === 1'bx && resetn) $display("error unknown handshake");
        was_valid <= rvalid & ~rready;
        was_bvalid <= bvalid & ~bready;
        was_data <= rdata;
    end

    integer taken;
    task read(input [11:0] address);
        begin
            repeat (percent(0) % 4) @(posedge clock);
            araddr <= address;
            arvalid <= 1;
            rready <= percent(0) < 50;
            @(posedge clock);
            while (!arready) @(posedge clock);
            taken = cycle;
            arvalid <= 0;
            @(posedge clock);
            while (!(rvalid & rready)) begin
                rready <= percent(0) < 50;
                @(posedge clock);
            end
            $display("read %0d %0d %0d %0d", taken, address, rdata, rresp);
            rready <= 0;
        end
    endtask

    integer address_wait, data_wait, ready_wait;
    always @(posedge clock) if (resetn) begin  // writes, each channel with its own delay
        if (awvalid & awready) begin
            awvalid <= 0;
            address_wait <= -1;
        end else if (address_wait > 0) address_wait <= address_wait - 1;
        else if (address_wait == 0) awvalid <= 1;
        if (wvalid & wready) begin
            wvalid <= 0;
            data_wait <= -1;
        end else if (data_wait > 0) data_wait <= data_wait - 1;
        else if (data_wait == 0) wvalid <= 1;
        if (bvalid & (address_wait >= 0 || data_wait >= 0)) $display("error an answer without a write");
        bready <= percent(0) < 40;
        if (bvalid & bready) begin
            writes = writes + 1;
            if (bresp !== 2) $display("error write answered %0d", bresp);
            awaddr <= 4 * (percent(0) % 10);
            address_wait <= percent(0) % 6;
            data_wait <= percent(0) % 6;
        end
    end

    initial begin
        if (!$value$plusargs("seed=%d", seed) || !$value$plusargs("mode=%d", mode)) $display("error no plusargs");
        address_wait = 2;
        data_wait = 4;
        repeat (3) @(posedge clock);
        resetn <= 1;
        while (outs < BATCHES * `FRAMES * `OUT_BEATS) begin
            i = percent(0) % 11;
            read(i < 8 ? 4 * i : i == 8 ? 12'h20 : i == 9 ? 12'hffc : 12'h814);
        end
        repeat (4) @(posedge clock);
        for (i = 0; i < 9; i = i + 1) read(4 * i);
        $display("writes %0d", writes);
        $display("done");
        $finish;
    end

    // The counter jumps once a batch, so that its upper half is seen; not where the count is about to end.
    integer jumped = 0;
    always @(negedge clock) if (resetn && dut.busy && !dut.batch_ends && jumped <= outs / (`FRAMES * `OUT_BEATS)) begin
        jumped = outs / (`FRAMES * `OUT_BEATS) + 1;
        dut.count = dut.count + (64'd1 << 32) * jumped - 3;
        $display("jump %0d %0d", jumped - 1, (64'd1 << 32) * jumped - 3);
    end
endmodule
